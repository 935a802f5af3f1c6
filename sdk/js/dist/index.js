// src/sign.ts
var bytes = (text) => new TextEncoder().encode(text);
var base64 = (data) => btoa(String.fromCharCode(...new Uint8Array(data)));
async function sign(by, url, headers, body, now) {
  const { host, pathname, search } = new URL(url);
  const digest = `sha-256=:${base64(await crypto.subtle.digest("SHA-256", bytes(body)))}:`;
  const parts = [["@method", "POST"], ["@authority", host], ["@path", pathname], ["@query", search || "?"], ["content-digest", digest]];
  for (const name in headers) parts.push([name.toLowerCase(), headers[name]]);
  const names = parts.map(([name]) => `"${name}"`).join(" ");
  const nonce = base64(crypto.getRandomValues(new Uint8Array(18)));
  const params = `(${names});created=${Math.floor(now / 1e3)};nonce="${nonce}";keyid="${by.keyId}";tag="weir-v1"`;
  const text = bytes([...parts.map(([name, value]) => `"${name}": ${value}`), `"@signature-params": ${params}`].join("\n"));
  const signature = by.privateKey ? await crypto.subtle.sign("Ed25519", by.privateKey, text) : await crypto.subtle.sign("HMAC", await crypto.subtle.importKey("raw", bytes(by.secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]), text);
  return { "Content-Digest": digest, "Signature-Input": `sig=${params}`, Signature: `sig=:${base64(signature)}:` };
}

// src/index.ts
var version = "0.1.0";
var maxItems = 1e3;
var maxQueue = 512 << 10;
var maxAge = 7 * 864e5;
var maxBatch = 100;
var maxBody = 60 << 10;
var idle = 30 * 6e4;
var longest = 6e4;
var page = typeof window !== "undefined" && typeof document !== "undefined";
var script = page ? document.currentScript?.src : void 0;
function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = b[6] & 15 | 64;
  b[8] = b[8] & 63 | 128;
  return [...b].map((x, i) => ([4, 6, 8, 10].includes(i) ? "-" : "") + x.toString(16).padStart(2, "0")).join("");
}
var size = (text) => new TextEncoder().encode(text).length;
var Store = class {
  constructor(own) {
    this.own = own;
  }
  own;
  get in() {
    return this.own === void 0 ? localStorage : this.own;
  }
  keys() {
    try {
      return Object.keys(this.in);
    } catch {
      return [];
    }
  }
  get(name) {
    try {
      return JSON.parse(this.in.getItem(name));
    } catch {
      return null;
    }
  }
  set(name, value) {
    try {
      this.in.setItem(name, JSON.stringify(value));
    } catch {
    }
  }
  drop(name) {
    try {
      this.in.removeItem(name);
    } catch {
    }
  }
};
var Weir = class {
  constructor(options) {
    this.options = options;
    this.url = (options.url ?? (script ? new URL(".", script).href : "")).replace(/\/+$/, "");
    if (!options.key || !this.url) throw new TypeError("weir: init needs a key and the url of the server");
    this.name = `weir.${options.key.slice(0, 20)}.${options.environment ?? ""}`;
    this.store = new Store(options.storage);
    this.state = { ...this.fresh(), ...page && this.store.get(this.name) };
    if (page) this.live();
  }
  options;
  url;
  name;
  tab = uuid();
  queue = [];
  state;
  store;
  sending;
  timer;
  waits = 0;
  // tries that failed, one after the other
  notBefore = 0;
  // and until when the next one waits
  closed = false;
  undo = [];
  /** What the visitor has agreed to. */
  get consent() {
    return this.state.consent ?? this.options.consent ?? "granted";
  }
  set consent(choice) {
    this.state.consent = choice;
    if (choice === "denied") this.queue = [];
    this.save();
    if (choice === "granted") this.soon();
  }
  /** The id that events are told under. */
  get distinctId() {
    return this.state.visitor;
  }
  /** Something happened. */
  track(event, properties = {}) {
    this.add("track", { event, session_id: this.session(), anonymous_id: this.state.before ?? null, properties: { ...this.about(), ...properties } });
  }
  /** A page was seen. */
  page(properties = {}) {
    this.track("$pageview", properties);
  }
  /** Who the visitor is, and what is known of them. What they did before counts as theirs. */
  identify(userId, traits = {}) {
    if (this.state.visitor !== userId) {
      if (this.state.before) this.reset();
      this.state.before = this.state.visitor;
      this.state.visitor = userId;
    }
    this.add("identify", { anonymous_id: this.state.before ?? null, traits });
  }
  /** Another id of the same person. */
  alias(newUserId) {
    this.add("alias", { anonymous_id: this.state.before ?? null, new_user_id: newUserId });
  }
  /** Whoever comes next is somebody else, at another device if that is said. What is in the queue is still sent. */
  reset(options = {}) {
    const { device, consent } = this.state;
    this.state = { ...this.fresh(), ...!options.device && { device }, ...consent && { consent } };
    this.save();
  }
  /** Sends what is in the queue, and resolves when the server has answered for all of it, or cannot be reached. */
  flush() {
    clearTimeout(this.timer);
    this.timer = void 0;
    return this.sending ??= this.drain().finally(() => {
      this.sending = void 0;
    });
  }
  /** Sends what is in the queue and ends. */
  async close() {
    await this.flush();
    this.closed = true;
    clearTimeout(this.timer);
    this.undo.forEach((f) => f());
  }
  fresh() {
    return { device: `device-${uuid()}`, visitor: `anonymous-${uuid()}`, session: `session-${uuid()}`, seen: 0 };
  }
  session() {
    const now = Date.now();
    if (this.state.seen && now - this.state.seen > idle) this.state.session = `session-${uuid()}`;
    this.state.seen = now;
    return this.state.session;
  }
  about() {
    const { release } = this.options;
    return {
      $lib: "weir-js",
      $lib_version: version,
      ...release && { $release: release },
      ...page && { $url: location.href, $referer: document.referrer || null, $viewport: `${innerWidth}x${innerHeight}` }
    };
  }
  add(to, body) {
    if (this.closed || this.consent === "denied") return;
    const { environment } = this.options;
    const item = { to, body: {
      event_id: uuid(),
      timestamp: (/* @__PURE__ */ new Date()).toISOString(),
      ...environment && { environment },
      distinct_id: this.state.visitor,
      device_id: this.state.device,
      ...body
    } };
    if (size(JSON.stringify(item.body)) > 32 << 10) return this.fail(0, "too_large", "The item is more than 32 KiB of JSON.", [item]);
    this.queue.push(item);
    this.trim();
    this.save();
    this.soon();
  }
  /** Keeps the queue within its limits. The oldest goes first. */
  trim() {
    const old = this.queue.filter((i) => Date.now() - Date.parse(i.body.timestamp) > maxAge);
    if (old.length) this.drop(old, 0, "too_old", "The items could not be sent for seven days.");
    const full = [];
    let total = JSON.stringify(this.queue).length;
    while (this.queue.length - full.length > maxItems || total > maxQueue) {
      const first = this.queue[full.length];
      total -= JSON.stringify(first).length + 1;
      full.push(first);
    }
    if (full.length) this.drop(full, 0, "queue_full", "More was told than could be sent.");
  }
  drop(items, status, code, detail) {
    this.queue = this.queue.filter((i) => !items.includes(i));
    this.fail(status, code, detail, items);
  }
  fail(status, code, detail, items) {
    try {
      this.options.onError?.({ status, code, detail, items });
    } catch (fault) {
      console.error(fault);
    }
  }
  save() {
    if (!page) return;
    const queue = `${this.name}.queue.${this.tab}`;
    if (this.consent !== "granted") {
      this.store.drop(queue);
      if (this.consent === "denied" || this.state.consent) this.store.set(this.name, { consent: this.consent });
      return;
    }
    this.store.set(this.name, this.state);
    this.queue.length ? this.store.set(queue, this.queue) : this.store.drop(queue);
  }
  soon(wait = this.options.gather ?? 500) {
    if (this.timer || this.closed || this.consent !== "granted" || !this.queue.length) return;
    this.timer = setTimeout(() => void this.flush(), Math.max(wait, this.notBefore - Date.now()));
  }
  /** The first items of the queue that go to one route and into one request. */
  batch(queue) {
    let total = 2;
    const n = queue.findIndex((item, i) => i === maxBatch || item.to !== queue[0].to || (total += size(JSON.stringify(item.body)) + 1) > maxBody);
    return n < 0 ? queue : queue.slice(0, n);
  }
  async drain() {
    while (this.queue.length && this.consent === "granted" && (!page || navigator.onLine !== false)) {
      const items = this.batch(this.queue);
      if (!await this.send(items)) break;
      this.queue = this.queue.filter((i) => !items.includes(i));
      this.save();
    }
    this.soon();
  }
  /** Whether the server has answered for the items. */
  async send(items) {
    const url = `${this.url}/${items[0].to}`;
    const body = JSON.stringify(items.map((i) => i.body));
    let headers = { "Content-Type": "application/json", "X-API-Key": this.options.key };
    try {
      if (this.options.signing) headers = { ...headers, ...await sign(this.options.signing, url, headers, body, Date.now()) };
      const call = this.options.fetch ?? fetch;
      const answer = await call(url, { method: "POST", headers, body, credentials: "omit", redirect: "error", keepalive: page && size(body) < 64e3, signal: AbortSignal.timeout(3e4) });
      if (answer.status === 429 || answer.status >= 500) return this.wait(answer.headers.get("Retry-After"));
      const told = await answer.json().catch(() => ({}));
      this.waits = this.notBefore = 0;
      if (!answer.ok && !told.rejected) this.fail(answer.status, told.code ?? "", told.detail ?? "", items);
      for (const r of told.rejected ?? []) this.fail(answer.status, r.code, r.detail, [items[r.index]]);
      return true;
    } catch {
      return this.wait(null);
    }
  }
  /** Puts the next try off: as long as the server says, or twice as long as the last time, give or take. */
  wait(asked) {
    const told = asked === null ? NaN : /^\d+$/.test(asked) ? +asked * 1e3 : Date.parse(asked) - Date.now();
    const own = Math.min(longest, 1e3 * 2 ** this.waits++) * (0.5 + Math.random());
    this.notBefore = Date.now() + (told >= 0 ? Math.min(told, 36e5) + Math.random() * 1e3 : own);
    return false;
  }
  /** What a page does besides: it takes over what earlier pages could not send, and sends what it can as it ends. */
  live() {
    const prefix = `${this.name}.queue.`;
    if (this.consent === "granted") {
      for (const name of this.store.keys()) {
        if (!name.startsWith(prefix)) continue;
        const left = this.store.get(name);
        if (Array.isArray(left)) this.queue.push(...left);
        this.store.drop(name);
      }
      this.trim();
    }
    this.save();
    this.on(window, "online", () => {
      this.notBefore = 0;
      void this.flush();
    });
    this.on(window, "pagehide", () => this.beacon());
    this.on(document, "visibilitychange", () => {
      if (document.visibilityState === "hidden") this.beacon();
    });
    if (this.options.pages) this.watch();
    this.soon(0);
  }
  on(target, name, f) {
    target.addEventListener(name, f);
    this.undo.push(() => target.removeEventListener(name, f));
  }
  /** Sends what is left, and keeps it: whether it came is not told. */
  beacon() {
    if (this.consent !== "granted" || this.options.signing) return;
    for (let left = this.queue; left.length; ) {
      const items = this.batch(left);
      const body = new Blob([JSON.stringify(items.map((i) => i.body))], { type: "application/json" });
      if (!navigator.sendBeacon(`${this.url}/${items[0].to}?apiKey=${encodeURIComponent(this.options.key)}`, body)) return;
      left = left.slice(items.length);
    }
  }
  /** Page views of pages that change their address themselves, too. */
  watch() {
    let last = "";
    const view = () => {
      if (location.href !== last) this.page();
      last = location.href;
    };
    for (const name of ["pushState", "replaceState"]) {
      const own = history[name];
      history[name] = function(...args) {
        own.apply(this, args);
        view();
      };
      this.undo.push(() => {
        history[name] = own;
      });
    }
    this.on(window, "popstate", view);
    view();
  }
};
var init = (options) => new Weir(options);
export {
  Weir,
  init,
  version
};
