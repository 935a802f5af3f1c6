// What /altertable.js is in a page with Altertable's snippet: the client of Weir under the names that such a page uses. The
// snippet left an array of calls at window.Altertable; they are done in their order, and the client takes its place.
//
// An event has what Altertable's client tells with it: $url without its query, and $viewport and $referer with page views only.

import { init, type Consent, type Options, type Properties, type Weir } from './index.js'

interface Config {
  baseUrl?: string
  environment?: string
  release?: string
  autoCapture?: boolean
  trackingConsent?: Consent
  persistence?: string
  onError?: (error: Error) => void
}

type Call = () => void

const maxCalls = 1000 // before init
const glance = 100 // milliseconds between two looks at the page's address

// What programs send when they have no id: taken for one, all who are sent so would become one person.
const nobody = /^(|anonymous(_id)?|distinct_?id|false|guest|id|not_authenticated|true|undefined|user(_id)?|visitor(_id)?)$/i
const nobodyExactly = ['[object Object]', '0', 'NaN', 'none', 'None', 'null']

function somebody(id: unknown): string {
  const text = typeof id === 'string' ? id.trim() : ''
  if (nobody.test(text) || nobodyExactly.includes(text)) throw new TypeError(`Altertable: ${JSON.stringify(id)} is nobody's id`)
  return id as string
}

/** An address without its query, and what stands in the query. */
function split(address: string): [string, Properties] {
  try {
    const { origin, pathname, searchParams } = new URL(address)
    return [origin + pathname, Object.fromEntries(searchParams)]
  } catch {
    return [address, {}]
  }
}

function storageOf(persistence?: string): Storage | null | undefined {
  if (persistence === 'memory') return null
  try { return persistence === 'sessionStorage' ? sessionStorage : undefined } catch { return null }
}

class Altertable {
  readonly _initialized = 1 // the snippet leaves it as it is
  private weir: Weir | undefined
  private options: Options | undefined
  private config: Config = {}
  private early: Call[] = []
  private address = ''
  private referer: string | null = null
  private stop: Call = () => {}

  init(apiKey: string, config: Config = {}): Call {
    const { baseUrl, environment, release, trackingConsent } = this.config = config ?? {}
    this.stop()
    void this.weir?.close()
    const storage = storageOf(this.config.persistence)
    this.options = {
      key: apiKey, environment: environment || 'production', onError: ({ status, code, detail, items }) => {
        console.error(`Altertable: ${code}: ${detail}`)
        this.config.onError?.(Object.assign(new Error(detail), { status, errorCode: code, details: items }))
      },
      ...(baseUrl && { url: baseUrl }), ...(release && { release }), ...(trackingConsent && { consent: trackingConsent }),
      ...(storage !== undefined && { storage }),
    }
    this.weir = init(this.options)
    this.address = location.href
    this.referer = document.referrer || null
    this.early.splice(0).forEach(perform)
    this.capture(this.config.autoCapture ?? true)
    return () => this.stop()
  }

  configure(updates: Config): void {
    if (!this.weir || !this.options) throw new Error('Altertable: init comes before configure')
    const before = this.config.autoCapture ?? true
    this.config = { ...this.config, ...updates }
    const { autoCapture, environment, release, trackingConsent } = updates
    if (environment) this.options.environment = environment
    if (release) this.options.release = release
    if (trackingConsent && trackingConsent !== this.weir.consent) this.weir.consent = trackingConsent
    if (autoCapture !== undefined && autoCapture !== before) this.capture(autoCapture)
  }

  track(event: string, properties: Properties = {}): void {
    const [$url] = split(location.href)
    const { $url: own = $url, ...others } = properties ?? {}
    this.do(weir => weir.track(event, { $viewport: undefined, $referer: undefined, $url: own, ...others }))
  }

  page(url: string = location.href): void {
    const [$url, query] = split(url)
    this.do(weir => weir.page({ ...query, $url, $referer: this.referer }))
  }

  identify(userId: string, traits: Properties = {}): void {
    somebody(userId)
    const copy = { ...traits }
    this.do(weir => weir.identify(userId, copy))
  }

  updateTraits(traits: Properties): void {
    const copy = { ...traits }
    this.do(weir => {
      if (weir.distinctId.startsWith('anonymous-')) throw new Error('Altertable: identify comes before updateTraits')
      weir.identify(weir.distinctId, copy)
    })
  }

  alias(newUserId: string): void {
    somebody(newUserId)
    this.do(weir => weir.alias(newUserId))
  }

  reset({ resetDeviceId = false }: { resetDeviceId?: boolean } = {}): void {
    this.early = []
    this.weir?.reset({ device: resetDeviceId })
  }

  getTrackingConsent(): Consent { return this.weir?.consent ?? 'pending' }

  /** Does it, or waits for init. */
  private do(call: (weir: Weir) => void): void {
    if (this.weir) return call(this.weir)
    this.early.push(() => call(this.weir!))
    if (this.early.length > maxCalls) this.early.shift()
  }

  /** A page view now, and one each time that the page's address has become another. */
  private capture(wanted: boolean): void {
    this.stop()
    if (!wanted) return
    this.page(this.address)
    const look = () => {
      if (location.href === this.address) return
      this.referer = this.address
      this.page(this.address = location.href)
    }
    const timer = setInterval(look, glance)
    addEventListener('popstate', look)
    addEventListener('hashchange', look)
    this.stop = () => {
      clearInterval(timer)
      removeEventListener('popstate', look)
      removeEventListener('hashchange', look)
      this.stop = () => {}
    }
  }
}

/** Does a call of earlier: one that fails does not keep the others from being done. */
function perform(call: Call): void {
  try { call() } catch (fault) { console.error(fault) }
}

const there = window as unknown as { Altertable?: unknown }
const calls = there.Altertable
if (!calls || Array.isArray(calls)) { // a page that loads the script twice keeps the client it has
  const client = new Altertable()
  there.Altertable = client
  const methods = client as unknown as Record<string, (...args: unknown[]) => unknown>
  for (const [method, ...args] of (calls ?? []) as [string, ...unknown[]][]) perform(() => methods[method]!(...args))
}
