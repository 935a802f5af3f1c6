// Datasets with IEX Cloud's client, and files of vega-datasets: what is answered is compared with what is in the files.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const require = createRequire(import.meta.url)
const quota = 'Response 402 - You have exceeded your allotted message quota. Please enable pay-as-you-go to regain access'
const says = (message) => (e) => { assert.equal(String(e.message), message); return true }
const saysAbout = (pattern) => (e) => { assert.match(String(e.message), pattern); return true }

const quotes = {
  datasetId: 'QUOTES', title: 'Quotes', email: 'quotes@example.com', smartLinkAttributes: [{ attributeName: 'symbol', type: 'symbol' }],
  schema: {
    type: 'object', required: ['symbol'],
    properties: { symbol: { type: 'string' }, date: { type: 'date' }, close: { type: ['number', 'null'] } },
  },
  columnMapping: { key: 'symbol', date: 'date' },
}

// definitions makes, changes, renames and deletes a dataset.
async function definitions(apperate) {
  assert.deepEqual(await apperate.registerDataset({ workspace: 'CORE', data: JSON.stringify({ dataset: quotes }) }), {
    success: true, message: 'Dataset has been created', datasetId: 'QUOTES',
  })
  await assert.rejects(apperate.registerDataset({ workspace: 'CORE', data: JSON.stringify({ dataset: quotes }) }), saysAbout(/^Response 409 - There is a dataset QUOTES already/))
  assert.equal((await apperate.getDataset({ workspace: 'CORE', id: 'QUOTES' })).smartLinkAttributes[0].type, 'symbol')
  assert.equal((await apperate.patchDataset({ workspace: 'CORE', id: 'QUOTES', data: JSON.stringify({ title: 'Prices' }) })).title, 'Prices')
  assert.equal((await apperate.updateDataset({ workspace: 'CORE', id: 'QUOTES', data: JSON.stringify({ dataset: { source: 'us' } }) })).source, 'us')
  assert.equal((await apperate.renameDataset({ workspace: 'CORE', id: 'QUOTES', newDatasetId: 'last' })).datasetId, 'last')
  assert.deepEqual((await apperate.listDatasets({ workspace: 'CORE', limit: 5 })).data.map((d) => d.datasetId), ['last'])
  assert.deepEqual((await apperate.queryDatasets({})).data.map((d) => d.datasetId), ['last'])
  assert.equal((await apperate.queryMeta({ workspace: 'CORE', id: 'last' })).records, 0)
  assert.ok((await apperate.getSwagger({})).openapi.startsWith('3.1'))
  await apperate.registerDataset({ workspace: 'CORE', data: JSON.stringify({ ...quotes, datasetId: 'GONE' }) })
  assert.deepEqual(await apperate.deleteDataset({ workspace: 'CORE', id: 'GONE' }), { success: true, message: 'Dataset has been deleted' })
  await assert.rejects(apperate.getDataset({ workspace: 'CORE', id: 'GONE' }), says('Response 404 - There is no dataset GONE.'))
}

// records writes, reads and deletes records of "last".
async function records(apperate) {
  const at = { workspace: 'CORE', id: 'last' }
  const write = (list, more) => apperate.writeInternal({ ...at, data: JSON.stringify(list), wait: true, ...more })
  const ask = (more) => apperate.queryData({ ...at, ...more })
  assert.deepEqual(await write([
    { symbol: 'AAPL', date: '2026-01-02', close: 100.5 }, { symbol: 'AAPL', date: '2026-01-05', close: 101 },
    { symbol: 'AAPL', date: '2026-02-02', close: 99 }, { symbol: 'MSFT', date: '2026-01-02', close: 7 },
  ]), { success: true, message: 'wrote 4 records', written: 4, replaced: 0 })
  assert.equal((await write([{ symbol: 'AAPL', date: '2026-01-02', close: 1 }])).ignored.length, 1)
  assert.equal((await write([{ symbol: 'AAPL', date: '2026-01-02', close: 100 }], { duplicateKeyHandling: true, event: true, persist: true })).replaced, 1)
  await assert.rejects(write([{ symbol: 'AAPL', close: 'high' }]), saysAbout(/^Response 422 - .*close/))

  const closes = async (more) => (await ask(more)).map((r) => r.close)
  assert.deepEqual(await closes({ key: 'AAPL' }), [99])
  assert.deepEqual(await closes({ key: 'AAPL', last: 2 }), [99, 101])
  assert.deepEqual(await closes({ key: 'AAPL', first: 2, sort: 'asc' }), [100, 101])
  assert.deepEqual(await closes({ key: 'AAPL', from: '2026-01-03', to: '2026-01-31' }), [101])
  assert.deepEqual(await closes({ key: 'AAPL', on: '2026-01-02' }), [100])
  assert.deepEqual(await closes({ key: 'AAPL', range: 'max', interval: 2 }), [99, 100])
  assert.deepEqual(await closes({ key: 'MSFT,AAPL', last: 1 }), [7, 99])
  assert.deepEqual(await closes({ key: 'MSFT;AAPL', last: 1, batchSeparator: ';' }), [7, 99])
  assert.deepEqual(await closes({ key: 'AAPL', range: 'max', subattribute: 'close~100' }), [99, 101])
  assert.deepEqual(await ask({ key: 'AAPL', filter: 'close,date' }), [{ date: '2026-02-02', close: 99 }])
  assert.deepEqual((await ask({ schema: true }))[0].required, ['symbol'])
  assert.equal((await ask({ key: 'AAPL', includeSystemRecordProperties: true }))[0].key, 'AAPL')
  assert.equal(await ask({ key: 'AAPL', format: 'csv' }), 'symbol,date,close\nAAPL,2026-02-02,99\n')
  await assert.rejects(ask({ key: 'AAPL', transform: 'diff' }), saysAbout(/^Response 422 - query.transform/))

  assert.equal((await apperate.deleteData({ ...at, key: 'MSFT' })).deleted, 1)
  assert.deepEqual(await ask({ key: 'MSFT' }), [])
}

// stream follows the channel "last", which is the dataset of that name, and loads a file with a job.
async function stream(client) {
  const frames = []
  let wake
  const frame = async (n) => { while (frames.length < n) await new Promise((done) => { wake = done }); return frames[n - 1] }
  const source = client.lastSSE('AAPL', (list) => { frames.push(list); wake?.() }, {})
  assert.deepEqual(await frame(1), [{ symbol: 'AAPL', date: '2026-02-02', close: 99 }])
  const loaded = await client.apperate.loadData({
    workspace: 'CORE', id: 'last', data: 'symbol|date|close\nAAPL|2026-02-03|98\nIBM|2026-02-03|50\nIBM|2026-02-04|x\n', contentType: 'text/csv', wait: true,
  })
  assert.match(loaded.message, /^Data upload of \d+B for last completed, jobId: /)
  assert.deepEqual(await frame(2), [{ symbol: 'AAPL', date: '2026-02-03', close: 98 }])
  source.close()
  const id = loaded.jobUrl.split('/').pop()
  const job = await client.apperate.getDataJob({ workspace: 'CORE', type: 'ingest', id })
  assert.deepEqual([job.status, job.good, job.rejected], ['succeeded', 2, 1])
  assert.equal((await client.apperate.queryDataJobs({ workspace: 'CORE', type: 'ingest', last: 1 })).data[0].jobId, id)
}

// channels follows two of the channels of "deep", which are the subkeys of the dataset of that name.
async function channels(client) {
  const properties = { symbol: { type: 'string' }, messageType: { type: 'string' }, date: { type: 'date' } }
  await client.apperate.registerDataset({
    workspace: 'CORE', data: JSON.stringify({ datasetId: 'deep', schema: { type: 'object', properties }, columnMapping: { key: 'symbol', subkey: 'messageType', date: 'date' } }),
  })
  const list = ['trades', 'book', 'auction'].map((messageType) => ({ symbol: 'AAPL', messageType, date: '2026-02-02' }))
  await client.apperate.writeInternal({ workspace: 'CORE', id: 'deep', data: JSON.stringify(list), wait: true })
  let source
  const first = await new Promise((done) => { source = client.deepSSE('AAPL', 'trades,book', done, {}) })
  source.close()
  assert.deepEqual(first, list.slice(0, 2))
}

// overwritten loads a file in the place of all records.
async function overwritten(apperate) {
  await apperate.loadData({ workspace: 'CORE', id: 'last', data: 'symbol,date,close\nA,2026-01-01,1\n', contentType: 'text/csv', overwrite: true, wait: true })
  assert.deepEqual(await apperate.queryData({ workspace: 'CORE', id: 'last', limit: 9 }), [{ symbol: 'A', date: '2026-01-01', close: 1 }])
}

// usedUp sees what happens when the credits are used up.
async function usedUp(client) {
  await client.messageBudget(1_000_000)
  await client.messageBudget((await client.metadata()).messagesUsed + 1)
  const at = { workspace: 'CORE', id: 'STOCKS', key: 'IBM' }
  await assert.rejects(client.apperate.queryData({ ...at, last: 5 }), says(quota))
  await assert.rejects(client.apperate.queryData(at), says(quota)) // the one that was left is spent
  await assert.rejects(client.apperate.writeInternal({ workspace: 'CORE', id: 'last', data: '[{"symbol":"A"}]' }), says(quota))
  await client.messageBudget(0)
  assert.equal((await client.apperate.queryData({ ...at, last: 5 })).length, 5)
}

const near = (got, want, what) => assert.ok(Math.abs(got - want) < 1e-6 * Math.max(1, Math.abs(want)), `${what}: ${got}, in the file it is ${want}`)
const sum = (list) => list.reduce((a, b) => a + b, 0)

// stocks loads stocks.csv and compares every symbol, as a whole, by range and by condition.
async function stocks(apperate, file) {
  const text = readFileSync(file, 'utf8')
  const rows = text.trim().split('\n').slice(1).map((line) => line.trim().split(',')).map(([symbol, date, price]) => (
    { symbol, date: new Date(date + ' UTC').toISOString().slice(0, 10), price: Number(price) }))
  assert.ok(rows.length > 500)
  const { schema } = await apperate.generateSchemaFromRemoteDataSource({ workspace: 'CORE', data: text, contentType: 'text/csv' })
  assert.deepEqual(schema.properties, { symbol: { type: 'string' }, date: { type: 'date' }, price: { type: 'number' } })
  await apperate.registerDataset({ workspace: 'CORE', data: JSON.stringify({ datasetId: 'STOCKS', schema, columnMapping: { key: 'symbol', date: 'date' } }) })
  await apperate.loadData({ workspace: 'CORE', id: 'STOCKS', data: text, contentType: 'text/csv', wait: true })
  const held = await apperate.getDataset({ workspace: 'CORE', id: 'STOCKS' })
  const symbols = [...new Set(rows.map((r) => r.symbol))]
  assert.deepEqual([held.records, held.keys], [rows.length, symbols.length])
  for (const key of symbols) {
    const own = rows.filter((r) => r.symbol === key).sort((a, b) => (a.date < b.date ? 1 : -1))
    const all = await apperate.queryData({ workspace: 'CORE', id: 'STOCKS', key, range: 'max' })
    assert.deepEqual(all, own)
    near(sum(all.map((r) => r.price)), sum(own.map((r) => r.price)), key)
    const part = await apperate.queryData({ workspace: 'CORE', id: 'STOCKS', key, from: '2004-03-01', to: '2008-02-29', filter: 'price > 50' })
    assert.deepEqual(part, own.filter((r) => r.date >= '2004-03-01' && r.date <= '2008-02-29' && r.price > 50))
  }
  return rows.length
}

// flights loads a file of flights in JSON; of two with one origin, destination and time the first stays.
async function flights(apperate, file) {
  const text = readFileSync(file, 'utf8')
  const first = new Map()
  for (const f of JSON.parse(text)) {
    const index = `${f.origin} ${f.destination} ${f.date}`
    if (!first.has(index)) first.set(index, f)
  }
  const { schema } = await apperate.generateSchemaFromRemoteDataSource({ workspace: 'CORE', data: text })
  await apperate.registerDataset({ workspace: 'CORE', data: JSON.stringify({ datasetId: 'FLIGHTS', schema, columnMapping: { key: 'origin', subkey: 'destination', date: 'date' } }) })
  await apperate.loadData({ workspace: 'CORE', id: 'FLIGHTS', data: text, wait: true })
  assert.equal((await apperate.getDataset({ workspace: 'CORE', id: 'FLIGHTS' })).records, first.size)
  const all = [...first.values()]
  for (const origin of new Set(all.map((f) => f.origin))) {
    const own = all.filter((f) => f.origin === origin)
    const got = await apperate.queryData({ workspace: 'CORE', id: 'FLIGHTS', key: origin, range: 'max' })
    assert.equal(got.length, own.length, origin)
    for (const name of ['delay', 'distance']) near(sum(got.map((f) => f[name])), sum(own.map((f) => f[name])), origin + ' ' + name)
  }
  const { origin, destination } = all[0]
  const february = (f) => f.date >= '2001/02/01' && f.date < '2001/03/01'
  const there = await apperate.queryData({ workspace: 'CORE', id: 'FLIGHTS', key: origin, subkey: destination, from: '2001-02-01', to: '2001-02-28' })
  const wanted = all.filter((f) => f.origin === origin && f.destination === destination && february(f))
  near(sum(there.map((f) => f.delay)), sum(wanted.map((f) => f.delay)), `${origin} to ${destination}`)
  return all.length
}

// withDatasets tries all of it.
export async function withDatasets(server, secretKey) {
  const iex = require('@apperate/iexjs')
  iex.overrideUrl({ url: server + '/v1/' })
  const client = new iex.Client({ api_token: secretKey, version: 'v1' })
  await definitions(client.apperate)
  await records(client.apperate)
  await stream(client)
  await channels(client)
  await overwritten(client.apperate)
  const data = require.resolve('vega-datasets/data/stocks.csv').replace('stocks.csv', '')
  const counts = [await stocks(client.apperate, data + 'stocks.csv'), await flights(client.apperate, data + 'flights-2k.json')]
  const answer = await fetch(`${server}/stable/data/CORE/STOCKS/IBM?range=max&format=parquet&token=${secretKey}`)
  assert.equal(answer.headers.get('iexcloud-messages-used'), String((await client.apperate.queryData({ workspace: 'CORE', id: 'STOCKS', key: 'IBM', range: 'max' })).length))
  assert.equal(Buffer.from(await answer.arrayBuffer()).subarray(0, 4).toString(), 'PAR1')
  await usedUp(client)
  console.log(`stocks: ${counts[0]} records, flights: ${counts[1]} records, as in the files`)
}
