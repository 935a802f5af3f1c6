// Draws what /data answers: a column of times or names, and the numbers of the last column.
const svg = document.getElementById('chart')
const wide = 720, high = 320, left = 56, bottom = 28, top = 12

function element(name, attributes, text) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v)
  if (text !== undefined) e.textContent = text // never as markup: it is what somebody sent
  svg.append(e)
  return e
}

function draw(rows) {
  svg.replaceChildren()
  const values = rows.map(r => Number(r.at(-1) ?? 0))
  const most = Math.max(1, ...values)
  const step = (wide - left) / Math.max(1, rows.length)
  for (const part of [0, 0.5, 1]) {
    const y = high - bottom - part * (high - bottom - top)
    element('line', { x1: left, x2: wide, y1: y, y2: y, stroke: '#ddd' })
    element('text', { x: left - 8, y: y + 4, 'text-anchor': 'end' }, (most * part).toLocaleString())
  }
  const every = Math.ceil(rows.length / 8)
  rows.forEach((row, i) => {
    const tall = values[i] / most * (high - bottom - top)
    const label = String(row[0] ?? '').replace(/T00:00:00.*$/, '').slice(0, 16)
    const bar = element('rect', { class: 'bar', x: left + i * step + 1, width: Math.max(1, step - 2), y: high - bottom - tall, height: tall })
    const title = document.createElementNS('http://www.w3.org/2000/svg', 'title')
    title.textContent = `${label}: ${values[i].toLocaleString()}`
    bar.append(title)
    if (i % every === 0) element('text', { x: left + i * step, y: high - 8 }, label)
  })
}

async function ask() {
  const start = await (await fetch('start')).json()
  document.getElementById('name').textContent = start.metric
  const request = start.token === ''
    ? ['data', {}] // the back end asks
    : [`${start.weir}/v1/metrics/${encodeURIComponent(start.metric)}/query`, {
        method: 'POST', body: JSON.stringify({ variables: start.variables }),
        headers: { Authorization: `Bearer ${start.token}`, 'Content-Type': 'application/json' },
      }]
  const answer = await fetch(...request)
  const body = await answer.json()
  if (!answer.ok) throw new Error(body.detail ?? answer.statusText)
  draw(body.rows)
  document.getElementById('about').textContent =
    `${body.rows.length} rows, ${body.cached ? 'kept since' : 'made'} ${answer.headers.get('Age') ?? 0} s ago` +
    (start.token === '' ? ', asked by the back end' : ', asked by this page with a token of its own')
}

ask().catch(e => {
  document.getElementById('about').textContent = ''
  document.getElementById('wrong').textContent = e.message
})
