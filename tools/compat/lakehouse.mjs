// Altertable's lakehouse with the client that npm has. It cannot read the columns as its own specification has them, which is what
// the server writes: that it fails so is checked, and the rest of an answer is read with the columns rewritten on their way.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'

// The package names a main file that it has not, and lets no other be imported by its name.
const lakehouse = await import(new URL('./node_modules/@altertable/lakehouse/dist/src/index.js', import.meta.url))

// withNames gives what fetch gives, with the columns of a query as this client wants them.
async function withNames(url, init) {
  const answer = await fetch(url, init)
  if (!answer.ok || !String(url).endsWith('/query')) return answer
  const lines = (await answer.text()).split('\n')
  lines[1] = JSON.stringify(JSON.parse(lines[1]).map((column) => column.name))
  return new Response(lines.join('\n'), { status: answer.status, headers: answer.headers })
}

export async function withLakehouse(server, key) {
  const plain = new lakehouse.AltertableLakehouseClient({ baseUrl: server, username: 'weir', password: key })
  const client = new lakehouse.AltertableLakehouseClient({ baseUrl: server, username: key, password: 'anything', fetch: withNames })
  const table = { catalog: 'memory', schema: 'main', table: 'LAKE' }
  await plain.upsert({ ...table, mode: 'create', primary_key: 'id' }, 'id,name\n1,Alice\n2,Bob\n')
  await plain.upsert({ ...table, primary_key: 'id' }, 'id,name\n2,Bea\n3,Cleo\n')
  const taken = { ok: true, error_code: null, error_message: null, task_id: null }
  assert.deepEqual(await plain.append({ ...table, body: { id: 4, name: 'Dan' } }), taken)
  assert.deepEqual(await plain.append({ ...table, body: [{ id: 5, name: 'Eve' }, { id: 6 }] }), taken)
  const refused = await plain.append({ ...table, body: { id: 'seven' } })
  assert.equal(refused.ok, false)
  assert.equal(refused.error_code, 'incompatible-schema')

  const statement = 'SELECT id, name FROM LAKE ORDER BY id'
  await assert.rejects(plain.query({ statement }), /Failed to parse query columns/)
  const id = randomUUID()
  const all = await client.queryAll({ statement, query_id: id, limit: 3, offset: 1, session_id: 's-1', schema: null, compute_size: 'XS' })
  assert.deepEqual(all.columns, ['id', 'name'])
  assert.deepEqual(all.rows, [{ id: 2, name: 'Bea' }, { id: 3, name: 'Cleo' }, { id: 4, name: 'Dan' }])
  assert.deepEqual([all.metadata.query_id, all.metadata.session_id, all.metadata.rows_limit, all.metadata.rows_offset], [id, 's-1', 3, 1])

  const log = await client.getQuery(id)
  assert.deepEqual([log.uuid, log.query, log.error, log.progress.rows_processed], [id, statement, null, 3])
  assert.deepEqual(await client.cancelQuery(id, 's-1'), { cancelled: false, message: 'The query is over.' })
  assert.equal((await client.validate({ statement })).valid, true)
  assert.equal((await client.validate({ statement: 'SELECT nope FROM LAKE' })).valid, false)
  await assert.rejects(client.query({ statement: 'SELECT nope FROM LAKE' }), (e) => e instanceof lakehouse.BadRequestError && /nope/.test(e.message))
  const stranger = new lakehouse.AltertableLakehouseClient({ baseUrl: server, username: 'weir', password: 'nobody' })
  await assert.rejects(stranger.validate({ statement }), (e) => e instanceof lakehouse.AuthError)
}
