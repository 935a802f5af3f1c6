// The client of Weir for browsers and Node: what happened, who it happened to, and nothing lost or told twice.
//
// Every item gets an id of its own when it is made, and keeps it through retries, reloads and beacons: the server stores
// an id once. Items wait in a queue, in a browser also in localStorage, until the server has answered for them.

import { sign, type Signing } from './sign.js'

export type { Signing }

export const version = '0.1.0'

export type Properties = Record<string, unknown>

/** Whether events may be sent: `pending` keeps them in memory until it is decided, `dismissed` too, for who did not want to be
 * asked, and `denied` keeps nothing. */
export type Consent = 'granted' | 'denied' | 'pending' | 'dismissed'

/** What was not sent, or not accepted, and why. */
export interface Failure {
  /** The status of the answer; 0 when none came, or the item did not get as far. */
  status: number
  /** The problem's code, as the server lists them under /problems/, or `queue_full`, `too_old`, `too_large`. */
  code: string
  detail: string
  items: Item[]
}

export interface Options {
  /** The key that events are sent with: `pk_…` in a page. */
  key: string
  /** Where the server is. In a page, by default where this script came from. */
  url?: string
  /** By default the first that the key may use. */
  environment?: string
  /** The version of your program: `$release` of every event. */
  release?: string
  /** What holds until it is changed; by default granted. What was chosen before is remembered. */
  consent?: Consent
  /** Whether page views are sent without being asked for; by default they are not. */
  pages?: boolean
  /** Milliseconds that items gather before they are sent; by default 500. */
  gather?: number
  /** Signs each request. Beacons cannot be signed: what is left when a page ends is sent by the next. */
  signing?: Signing
  onError?: (failure: Failure) => void
  /** Where a page keeps ids and what could not be sent; by default localStorage, and null is nowhere. */
  storage?: Storage | null
  /** What sends; by default the platform's fetch. */
  fetch?: typeof fetch
}

/** One item of the queue: the route that it goes to, and its body. */
export interface Item {
  to: 'track' | 'identify' | 'alias'
  body: Properties & { event_id: string; timestamp: string }
}

interface State {
  device: string
  visitor: string // the distinct id
  before?: string // the anonymous id, of who has been identified
  session: string
  seen: number
  consent?: Consent
}

const maxItems = 1000 // in the queue
const maxQueue = 512 << 10 // characters
const maxAge = 7 * 864e5 // as long as the server knows an id
const maxBatch = 100
const maxBody = 60 << 10 // bytes: what a browser lets a page send as it ends is 64 KiB
const idle = 30 * 6e4 // after which a session is over
const longest = 6e4 // between two tries

const page = typeof window !== 'undefined' && typeof document !== 'undefined'
const script = page ? (document.currentScript as HTMLScriptElement | null)?.src : undefined

function uuid(): string {
  if (crypto.randomUUID) return crypto.randomUUID()
  const b = crypto.getRandomValues(new Uint8Array(16)) // a page without TLS
  b[6] = (b[6]! & 15) | 64
  b[8] = (b[8]! & 63) | 128
  return [...b].map((x, i) => ([4, 6, 8, 10].includes(i) ? '-' : '') + x.toString(16).padStart(2, '0')).join('')
}

const size = (text: string) => new TextEncoder().encode(text).length

/** Storage that may be missing, full or forbidden: what it cannot keep is kept in memory only. */
class Store {
  constructor(private readonly own: Storage | null | undefined) {}

  private get in(): Storage { return this.own === undefined ? localStorage : this.own! }

  keys(): string[] { try { return Object.keys(this.in) } catch { return [] } }
  get(name: string): unknown { try { return JSON.parse(this.in.getItem(name)!) } catch { return null } }
  set(name: string, value: unknown): void { try { this.in.setItem(name, JSON.stringify(value)) } catch { /* in memory */ } }
  drop(name: string): void { try { this.in.removeItem(name) } catch { /* nothing there */ } }
}

/** A client. Make it with init. */
export class Weir {
  private readonly url: string
  private readonly name: string
  private readonly tab = uuid()
  private queue: Item[] = []
  private state: State
  private readonly store: Store
  private sending: Promise<void> | undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  private waits = 0 // tries that failed, one after the other
  private notBefore = 0 // and until when the next one waits
  private closed = false
  private readonly undo: (() => void)[] = []

  constructor(private readonly options: Options) {
    this.url = (options.url ?? (script ? new URL('.', script).href : '')).replace(/\/+$/, '')
    if (!options.key || !this.url) throw new TypeError('weir: init needs a key and the url of the server')
    this.name = `weir.${options.key.slice(0, 20)}.${options.environment ?? ''}`
    this.store = new Store(options.storage)
    this.state = { ...this.fresh(), ...(page && (this.store.get(this.name) as Partial<State> | null)) }
    if (page) this.live()
  }

  /** What the visitor has agreed to. */
  get consent(): Consent { return this.state.consent ?? this.options.consent ?? 'granted' }

  set consent(choice: Consent) {
    this.state.consent = choice
    if (choice === 'denied') this.queue = []
    this.save()
    if (choice === 'granted') this.soon()
  }

  /** The id that events are told under. */
  get distinctId(): string { return this.state.visitor }

  /** Something happened. */
  track(event: string, properties: Properties = {}): void {
    this.add('track', { event, session_id: this.session(), anonymous_id: this.state.before ?? null, properties: { ...this.about(), ...properties } })
  }

  /** A page was seen. */
  page(properties: Properties = {}): void { this.track('$pageview', properties) }

  /** Who the visitor is, and what is known of them. What they did before counts as theirs. */
  identify(userId: string, traits: Properties = {}): void {
    if (this.state.visitor !== userId) {
      if (this.state.before) this.reset() // it is somebody else
      this.state.before = this.state.visitor
      this.state.visitor = userId
    }
    this.add('identify', { anonymous_id: this.state.before ?? null, traits })
  }

  /** Another id of the same person. */
  alias(newUserId: string): void { this.add('alias', { anonymous_id: this.state.before ?? null, new_user_id: newUserId }) }

  /** Whoever comes next is somebody else, at another device if that is said. What is in the queue is still sent. */
  reset(options: { device?: boolean } = {}): void {
    const { device, consent } = this.state
    this.state = { ...this.fresh(), ...(!options.device && { device }), ...(consent && { consent }) }
    this.save()
  }

  /** Sends what is in the queue, and resolves when the server has answered for all of it, or cannot be reached. */
  flush(): Promise<void> {
    clearTimeout(this.timer)
    this.timer = undefined
    return (this.sending ??= this.drain().finally(() => { this.sending = undefined }))
  }

  /** Sends what is in the queue and ends. */
  async close(): Promise<void> {
    await this.flush()
    this.closed = true
    clearTimeout(this.timer)
    this.undo.forEach(f => f())
  }

  private fresh(): State {
    return { device: `device-${uuid()}`, visitor: `anonymous-${uuid()}`, session: `session-${uuid()}`, seen: 0 }
  }

  private session(): string {
    const now = Date.now()
    if (this.state.seen && now - this.state.seen > idle) this.state.session = `session-${uuid()}`
    this.state.seen = now
    return this.state.session
  }

  private about(): Properties {
    const { release } = this.options
    return {
      $lib: 'weir-js', $lib_version: version, ...(release && { $release: release }),
      ...(page && { $url: location.href, $referer: document.referrer || null, $viewport: `${innerWidth}x${innerHeight}` }),
    }
  }

  private add(to: Item['to'], body: Properties): void {
    if (this.closed || this.consent === 'denied') return
    const { environment } = this.options
    const item: Item = { to, body: {
      event_id: uuid(), timestamp: new Date().toISOString(), ...(environment && { environment }),
      distinct_id: this.state.visitor, device_id: this.state.device, ...body,
    } }
    if (size(JSON.stringify(item.body)) > 32 << 10) return this.fail(0, 'too_large', 'The item is more than 32 KiB of JSON.', [item])
    this.queue.push(item)
    this.trim()
    this.save()
    this.soon()
  }

  /** Keeps the queue within its limits. The oldest goes first. */
  private trim(): void {
    const old = this.queue.filter(i => Date.now() - Date.parse(i.body.timestamp) > maxAge)
    if (old.length) this.drop(old, 0, 'too_old', 'The items could not be sent for seven days.')
    const full: Item[] = []
    let total = JSON.stringify(this.queue).length
    while (this.queue.length - full.length > maxItems || total > maxQueue) {
      const first = this.queue[full.length]!
      total -= JSON.stringify(first).length + 1
      full.push(first)
    }
    if (full.length) this.drop(full, 0, 'queue_full', 'More was told than could be sent.')
  }

  private drop(items: Item[], status: number, code: string, detail: string): void {
    this.queue = this.queue.filter(i => !items.includes(i))
    this.fail(status, code, detail, items)
  }

  private fail(status: number, code: string, detail: string, items: Item[]): void {
    try { this.options.onError?.({ status, code, detail, items }) } catch (fault) { console.error(fault) } // what hears of it must not undo what was settled
  }

  private save(): void {
    if (!page) return
    const queue = `${this.name}.queue.${this.tab}`
    if (this.consent !== 'granted') {
      this.store.drop(queue)
      if (this.consent === 'denied' || this.state.consent) this.store.set(this.name, { consent: this.consent }) // what was chosen, and nothing else
      return
    }
    this.store.set(this.name, this.state)
    this.queue.length ? this.store.set(queue, this.queue) : this.store.drop(queue)
  }

  private soon(wait = this.options.gather ?? 500): void {
    if (this.timer || this.closed || this.consent !== 'granted' || !this.queue.length) return
    this.timer = setTimeout(() => void this.flush(), Math.max(wait, this.notBefore - Date.now()))
  }

  /** The first items of the queue that go to one route and into one request. */
  private batch(queue: Item[]): Item[] {
    let total = 2
    const n = queue.findIndex((item, i) => i === maxBatch || item.to !== queue[0]!.to || (total += size(JSON.stringify(item.body)) + 1) > maxBody)
    return n < 0 ? queue : queue.slice(0, n)
  }

  private async drain(): Promise<void> {
    while (this.queue.length && this.consent === 'granted' && (!page || navigator.onLine !== false)) {
      const items = this.batch(this.queue)
      if (!(await this.send(items))) break
      this.queue = this.queue.filter(i => !items.includes(i))
      this.save()
    }
    this.soon()
  }

  /** Whether the server has answered for the items. */
  private async send(items: Item[]): Promise<boolean> {
    const url = `${this.url}/${items[0]!.to}`
    const body = JSON.stringify(items.map(i => i.body))
    let headers: Record<string, string> = { 'Content-Type': 'application/json', 'X-API-Key': this.options.key }
    try {
      if (this.options.signing) headers = { ...headers, ...(await sign(this.options.signing, url, headers, body, Date.now())) }
      const call = this.options.fetch ?? fetch
      const answer = await call(url, { method: 'POST', headers, body, credentials: 'omit', redirect: 'error', keepalive: page && size(body) < 64e3, signal: AbortSignal.timeout(3e4) })
      if (answer.status === 429 || answer.status >= 500) return this.wait(answer.headers.get('Retry-After'))
      const told = (await answer.json().catch(() => ({}))) as { code?: string; detail?: string; rejected?: { index: number; code: string; detail: string }[] }
      this.waits = this.notBefore = 0
      if (!answer.ok && !told.rejected) this.fail(answer.status, told.code ?? '', told.detail ?? '', items)
      for (const r of told.rejected ?? []) this.fail(answer.status, r.code, r.detail, [items[r.index]!])
      return true
    } catch {
      return this.wait(null)
    }
  }

  /** Puts the next try off: as long as the server says, or twice as long as the last time, give or take. */
  private wait(asked: string | null): false {
    const told = asked === null ? NaN : /^\d+$/.test(asked) ? +asked * 1e3 : Date.parse(asked) - Date.now()
    const own = Math.min(longest, 1e3 * 2 ** this.waits++) * (0.5 + Math.random())
    this.notBefore = Date.now() + (told >= 0 ? Math.min(told, 36e5) + Math.random() * 1e3 : own)
    return false
  }

  /** What a page does besides: it takes over what earlier pages could not send, and sends what it can as it ends. */
  private live(): void {
    const prefix = `${this.name}.queue.`
    if (this.consent === 'granted') {
      for (const name of this.store.keys()) {
        if (!name.startsWith(prefix)) continue
        const left = this.store.get(name)
        if (Array.isArray(left)) this.queue.push(...(left as Item[]))
        this.store.drop(name) // a page that is still open writes its own again, and an id is stored once
      }
      this.trim()
    }
    this.save()
    this.on(window, 'online', () => { this.notBefore = 0; void this.flush() })
    this.on(window, 'pagehide', () => this.beacon())
    this.on(document, 'visibilitychange', () => { if (document.visibilityState === 'hidden') this.beacon() })
    if (this.options.pages) this.watch()
    this.soon(0)
  }

  private on(target: EventTarget, name: string, f: () => void): void {
    target.addEventListener(name, f)
    this.undo.push(() => target.removeEventListener(name, f))
  }

  /** Sends what is left, and keeps it: whether it came is not told. */
  private beacon(): void {
    if (this.consent !== 'granted' || this.options.signing) return
    for (let left = this.queue; left.length;) {
      const items = this.batch(left)
      const body = new Blob([JSON.stringify(items.map(i => i.body))], { type: 'application/json' })
      if (!navigator.sendBeacon(`${this.url}/${items[0]!.to}?apiKey=${encodeURIComponent(this.options.key)}`, body)) return
      left = left.slice(items.length)
    }
  }

  /** Page views of pages that change their address themselves, too. */
  private watch(): void {
    let last = ''
    const view = () => {
      if (location.href !== last) this.page()
      last = location.href
    }
    for (const name of ['pushState', 'replaceState'] as const) {
      const own = history[name]
      history[name] = function (...args) { own.apply(this, args); view() }
      this.undo.push(() => { history[name] = own })
    }
    this.on(window, 'popstate', view)
    view()
  }
}

/** Makes a client. */
export const init = (options: Options): Weir => new Weir(options)
