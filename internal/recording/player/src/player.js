// Plays one recording. The fragment names it: #SESSION, or #session=SESSION&environment=NAME. Nothing that was typed is kept.
import Player from 'rrweb-player'
import 'rrweb-player/dist/style.css'
import './player.css'

const form = document.querySelector('form')
const status = document.querySelector('[role=status]')
const place = document.querySelector('#player')

const named = () => {
  const text = location.hash.slice(1)
  const fields = new URLSearchParams(text)
  if (fields.has('session')) return [fields.get('session'), fields.get('environment') ?? '']
  try { return [decodeURIComponent(text), ''] } catch { return [text, ''] }
}

const fill = () => {
  [form.elements.session.value, form.elements.environment.value] = named()
}

const fetchRecording = async (session, environment, key) => {
  const query = environment ? '?' + new URLSearchParams({ environment }) : ''
  const answer = await fetch(`/v1/recordings/${encodeURIComponent(session)}/events${query}`, {
    headers: { 'X-API-Key': key }, credentials: 'omit', cache: 'no-store', redirect: 'error', referrerPolicy: 'no-referrer'
  })
  if (answer.ok) return answer.json()
  const problem = await answer.json().catch(() => ({}))
  throw new Error(problem.detail ?? `The server answered ${answer.status}.`)
}

// What only makes a browser connect somewhere beforehand is no policy's affair, as is a frame that is not to be filled, so
// both are taken out of a recording.
const ahead = /preconnect|prefetch|preload|prerender/i
const filled = /^(iframe|frame|object|embed|fencedframe|portal)$/i
const frames = new Set()
const tame = (attributes, id) => {
  if (!attributes) return
  if (ahead.test(attributes.rel)) delete attributes.rel
  if (frames.has(id)) for (const name of ['src', 'srcdoc', 'data']) delete attributes[name]
}
const tameNode = node => {
  for (const stack = [node]; stack.length;) {
    const { id, tagName, attributes, childNodes } = stack.pop() ?? {}
    if (filled.test(tagName)) frames.add(id)
    tame(attributes, id)
    if (Array.isArray(childNodes)) stack.push(...childNodes)
  }
}
const tameEvent = ({ type, data }) => {
  if (type === 2) tameNode(data?.node)
  if (type !== 3) return
  if (Array.isArray(data?.adds)) for (const add of data.adds) tameNode(add?.node)
  if (Array.isArray(data?.attributes)) for (const change of data.attributes) tame(change?.attributes, change?.id)
}

let player

const play = ({ session_id: session, missing, events }) => {
  player?.$destroy?.()
  place.replaceChildren()
  events.sort((a, b) => a.timestamp - b.timestamp)
  events.forEach(tameEvent)
  if (events.length < 2) throw new Error('The recording has too few events to be played.')
  player = new Player({ target: place, props: { events, autoPlay: true, width: Math.min(1024, place.clientWidth), height: Math.max(320, innerHeight - place.offsetTop - 110), UNSAFE_replayCanvas: false } })
  player.addEventListener('finish', () => { document.title = `Played ${session}` })
  document.title = `Playing ${session}`
  const chunks = missing.reduce((sum, gap) => sum + gap.to - gap.from + 1, 0)
  status.textContent = `${events.length} events` + (chunks ? `; ${chunks} chunks are missing` : '')
}

form.addEventListener('submit', async event => {
  event.preventDefault()
  const { session, environment, key } = form.elements
  const secret = key.value
  key.value = ''
  status.textContent = 'Loading…'
  try {
    play(await fetchRecording(session.value.trim(), environment.value.trim(), secret.trim()))
  } catch (fault) {
    document.title = 'Recording'
    status.textContent = fault.message
  }
})
addEventListener('hashchange', fill)
fill()
