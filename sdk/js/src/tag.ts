// What /weir.js is in a page: the global name weir, and a client made from the attributes of its script element:
//
//   <script src="https://weir.example.com/weir.js" data-key="pk_live_…" data-pages></script>

import { init, version, Weir, type Consent } from './index.js'

const { key, url, environment, release, consent, pages } = (document.currentScript as HTMLScriptElement | null)?.dataset ?? {}
const global = { init, version, Weir }
const made = key && init({
  key, pages: pages !== undefined, ...(url && { url }), ...(environment && { environment }), ...(release && { release }),
  ...(consent && { consent: consent as Consent }),
})

// The client itself, that can make others.
;(window as unknown as { weir: unknown }).weir = made ? Object.assign(made, global) : global
