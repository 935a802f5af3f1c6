// Records the page it is on with rrweb, and sends chunks with a public key. A chunk that was not answered is sent again as it
// is, under its number: the server keeps it once. What is left when the page ends goes as a beacon. Who it is stands in the
// script's data-distinct-id, as soon as the page knows.
(() => {
  const about = document.currentScript.dataset, { url, key } = about
  const session = crypto.randomUUID()
  const every = 1000, most = 500
  let events = [], sequence = 0, waiting = null, sending = false

  const next = () => {
    if (!waiting && events.length) {
      waiting = JSON.stringify({ session_id: session, sequence, distinct_id: about.distinctId, events: events.splice(0, most) })
      sequence++
    }
    return waiting
  }

  const send = async () => {
    const chunk = next()
    if (!chunk || sending) return
    sending = true
    try {
      const body = await new Response(new Blob([chunk]).stream().pipeThrough(new CompressionStream('gzip'))).blob()
      const answer = await fetch(url + '/v1/recordings', {
        method: 'POST', body, headers: { 'X-API-Key': key, 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }
      })
      if (answer.ok || answer.status < 500 && answer.status !== 429) waiting = null // what is refused would be refused again
      if (answer.ok) document.documentElement.dataset.recorded = session
    } catch {} finally { sending = false }
  }

  rrweb.record({ emit: event => { events.push(event) }, maskAllInputs: true })
  setInterval(send, every)
  addEventListener('pagehide', () => {
    for (let chunk = next(); chunk; chunk = next()) {
      navigator.sendBeacon(url + '/v1/recordings?apiKey=' + key, new Blob([chunk], { type: 'text/plain' }))
      waiting = null
    }
  })
})()
