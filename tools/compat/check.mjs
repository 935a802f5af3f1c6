// Tries a running server with clients of other systems that others wrote, unmodified: UserFlux's library for back ends,
// Segment's for Node, IEX Cloud's, and that of Altertable's lakehouse. They are given the server's address where they have an option for it; UserFlux's
// has none, so the host is replaced in each request before it is sent. Two files of vega-datasets are loaded and read back.
//
//	WEIR=http://127.0.0.1:8787 PUBLIC=pk_live_… SECRET=sk_live_… node check.mjs
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { withDatasets } from './datasets.mjs'
import { withLakehouse } from './lakehouse.mjs'

const require = createRequire(import.meta.url)
const server = process.env.WEIR
const publicKey = process.env.PUBLIC
const secretKey = process.env.SECRET

// rows asks the server in SQL.
async function rows(sql) {
  const answer = await fetch(server + '/v1/query', {
    method: 'POST', headers: { 'X-API-Key': secretKey, 'Content-Type': 'application/json' }, body: JSON.stringify({ sql }),
  })
  const body = await answer.json()
  assert.equal(answer.status, 200, JSON.stringify(body))
  return body.rows
}

// eventually waits until a question has the answer that is wanted: loading takes a moment.
async function eventually(sql, wanted) {
  let got
  for (let i = 0; i < 200; i++) {
    got = await rows(sql)
    if (JSON.stringify(got) === JSON.stringify(wanted)) return
    await new Promise((done) => setTimeout(done, 50))
  }
  assert.deepEqual(got, wanted)
}

async function withUserFlux() {
  const UserFlux = require('@userflux/backend-js')
  const statuses = []
  require('axios').interceptors.request.use((request) => {
    assert.match(request.url, /^https:\/\/integration-api\.userflux\.co\//)
    request.url = request.url.replace('https://integration-api.userflux.co', server)
    return request
  })
  require('axios').interceptors.response.use((answer) => { statuses.push(answer.status); return answer })
  const client = new UserFlux(publicKey, { defaultTrackingProperties: { plan: 'pro' } })
  const at = Date.now() - 60_000
  await client.track({ event: 'uf_bought', userId: 'uf_1', anonymousId: 'uf_a', sessionId: 'uf_s', properties: { price: 12.5 }, timestamp: at })
  await client.track({ event: 'uf_seen', anonymousId: 'uf_a', properties: {} })
  await client.identify({ userId: 'uf_1', anonymousId: 'uf_a', properties: { email: 'ana@example.com' } })
  assert.deepEqual(statuses, [204, 204, 204])
  await eventually("SELECT event, distinct_id, anonymous_id, session_id, properties->>'price' AS price, properties->>'plan' AS plan FROM events WHERE event LIKE 'uf_%' ORDER BY event", [
    ['uf_bought', 'uf_1', 'uf_a', 'uf_s', '12.5', 'pro'], ['uf_seen', 'uf_a', null, null, null, 'pro'],
  ])
  assert.deepEqual(await rows("SELECT epoch_ms(timestamp) FROM events WHERE event = 'uf_bought'"), [[at]])
  await eventually("SELECT traits->>'email' FROM persons WHERE distinct_id = 'uf_1'", [['ana@example.com']])
}

async function withSegment() {
  const { Analytics } = require('@segment/analytics-node')
  const failures = []
  const analytics = new Analytics({ writeKey: publicKey, host: server, flushAt: 10 })
  analytics.on('error', (e) => failures.push(e))
  const sent = []
  const call = (name, message) => new Promise((done) => analytics[name](message, (err, ctx) => { sent.push(ctx); done(err) }))
  await Promise.all([
    call('track', { userId: 'sg_1', event: 'sg_bought', properties: { price: 3 }, messageId: 'sg-once' }),
    call('track', { userId: 'sg_1', event: 'sg_bought', properties: { price: 3 }, messageId: 'sg-once' }),
    call('page', { anonymousId: 'sg_a', name: 'Pricing', properties: { url: 'https://shop.example/' } }),
    call('screen', { anonymousId: 'sg_a', name: 'Home' }),
    call('group', { userId: 'sg_1', groupId: 'sg_g', traits: { seats: 3 } }),
    call('identify', { userId: 'sg_1', traits: { plan: 'pro' } }),
    call('alias', { previousId: 'sg_a', userId: 'sg_1' }),
    analytics.closeAndFlush(),
  ])
  assert.deepEqual(failures, [])
  assert.equal(sent.length, 7)
  await eventually("SELECT event, count(*) AS n FROM events WHERE source = 'segment' AND event IS NOT NULL GROUP BY event ORDER BY event", [
    ['$group', 1], ['$pageview', 1], ['$screen', 1], ['sg_bought', 1],
  ])
  assert.deepEqual(await rows("SELECT properties->'context'->'library'->>'name' FROM events WHERE event = 'sg_bought'"), [['@segment/analytics-node']])
  await eventually("SELECT traits->>'plan' FROM persons WHERE distinct_id = 'sg_1'", [['pro']])

  // What is wrong with the key or the event is an error, and is not sent for ever.
  const refused = new Analytics({ writeKey: 'none', host: server, flushAt: 1, maxRetries: 0 })
  const error = new Promise((done) => refused.on('error', done))
  refused.track({ userId: 'sg_1', event: 'sg_refused' })
  assert.match(String((await error).reason), /401/)
  await refused.closeAndFlush()
}

async function withIEX() {
  const iex = require('@apperate/iexjs')
  iex.overrideUrl({ url: server + '/v1/' })
  const client = new iex.Client({ api_token: secretKey, version: 'v1' })
  const status = await client.status()
  assert.equal(status.status, 'up')
  const before = await client.metadata()
  assert.equal(before.payAsYouGoEnabled, false)
  assert.equal(before.messageLimit, 0)
  assert.deepEqual(await client.messageBudget(1), { totalMessages: 1, allow: false })
  assert.equal((await client.metadata()).messageLimit, 1)
  const usage = await client.usage('messages')
  assert.ok(usage.monthlyUsage > 0 && usage.keyUsage.run_sql > 0, JSON.stringify(usage))
  await client.usage()
  const stable = await fetch(`${server}/stable/account/metadata?token=${secretKey}`)
  assert.equal(stable.headers.get('iexcloud-messages-used'), '0')
  await assert.rejects(new iex.Client({ api_token: 'sk_none', version: 'v1' }).metadata(), (e) => String(e.message) === 'Response 401 - The API key provided is not valid.')
  assert.deepEqual(await client.messageBudget(0), { totalMessages: 0, allow: false })
}

await withUserFlux()
await withSegment()
await withIEX()
await withDatasets(server, secretKey)
await withLakehouse(server, secretKey)
