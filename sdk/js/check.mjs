// Tries dist/index.js against a server, as the tests of cmd/weir start it.
import assert from 'node:assert/strict'
import { init } from './dist/index.js'

const { WEIR: url, KEY: key, HMAC_KEY, HMAC_ID, HMAC_SECRET, OWN_KEY, OWN_ID, OWN_PRIVATE } = process.env

{ // The answer is lost, and the batch sent again.
  let calls = 0
  const client = init({ url, key, gather: 0, fetch: async (...request) => {
    const answer = await fetch(...request)
    if (++calls === 1) throw new TypeError('lost')
    return answer
  } })
  client.track('answer lost', { n: 1 })
  await client.flush()
  await client.flush()
  await client.close()
  assert.equal(calls, 2)
}
{ // The server says how long to wait.
  const at = []
  const client = init({ url, key, gather: 0, fetch: (...request) => {
    at.push(Date.now())
    return at.length === 1 ? Promise.resolve(new Response('{}', { status: 429, headers: { 'Retry-After': '1' } })) : fetch(...request)
  } })
  client.track('limited')
  while (at.length < 2) await new Promise(done => setTimeout(done, 50))
  await client.close()
  assert.ok(at[1] - at[0] >= 1000, `it came again after ${at[1] - at[0]} ms`)
}
{ // What is not accepted is told, item by item, and what is refused.
  const failures = []
  const client = init({ url, key, onError: f => failures.push(f) })
  client.track('valid')
  client.track('')
  client.track('too large', { text: 'x'.repeat(40_000) })
  await client.close()
  client.track('after the end')
  await client.close()
  assert.deepEqual(failures.map(f => [f.code, f.items[0].body.event]), [['too_large', 'too large'], ['invalid_field', '']])
  const wrong = init({ url, key: key.slice(0, -1) + '_', onError: f => failures.push(f) })
  wrong.track('by nobody')
  await wrong.close()
  assert.equal(failures[2].status, 401)
}
{ // A listener that throws does not make it send again.
  let calls = 0
  const client = init({ url, key, onError: () => { throw new Error('from the listener') }, fetch: () => { calls++; return Promise.resolve(Response.json({ code: 'invalid_field' }, { status: 422 })) } })
  const error = console.error
  console.error = () => {}
  client.track('refused')
  await client.flush()
  await client.close()
  console.error = error
  assert.equal(calls, 1)
}
{ // The queue has an end, and the oldest goes first.
  const dropped = []
  const client = init({ url, key, gather: 1e6, onError: f => dropped.push(...f.items), fetch: () => Promise.reject(new TypeError('offline')) })
  for (let i = 0; i < 1010; i++) client.track(`e${i}`)
  await client.close()
  assert.deepEqual(dropped.map(i => i.body.event), Array.from({ length: 10 }, (_, i) => `e${i}`))
}
{ // Signed, with a secret and with a private key.
  const failures = []
  const onError = f => failures.push(f)
  const a = init({ url, key: HMAC_KEY, signing: { keyId: HMAC_ID, secret: HMAC_SECRET }, onError })
  a.track('signed hmac')
  await a.close()
  const privateKey = await crypto.subtle.importKey('pkcs8', Buffer.from(OWN_PRIVATE, 'base64'), 'Ed25519', false, ['sign'])
  const b = init({ url, key: OWN_KEY, signing: { keyId: OWN_ID, privateKey }, onError })
  b.track('signed own')
  await b.close()
  const c = init({ url, key: OWN_KEY, onError })
  c.track('not signed')
  await c.close()
  assert.deepEqual(failures.map(f => [f.status, f.code]), [[401, 'signature_required']])
}
