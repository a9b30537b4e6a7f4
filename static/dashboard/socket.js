// The live connection of a page: snapshot, increments, reconnect with back-off, and honesty about staleness.

import { PanelState, SequenceGap } from "./panel.js";
import { showRunMode } from "./replay-badge.js";

const STALE_AFTER_MS = 2500; // the server says something at least once a second
const TELL_SEEN_MS = 2000;
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 5000;

/** Before the first snapshot a page claims nothing, not even that there is nothing. */
function sayWhatIsKnown() {
  for (const node of document.querySelectorAll("[data-known]")) node.textContent = node.dataset.known;
  document.body.classList.remove("waiting");
}

export class LivePanel {
  /** `onChange(state, changedNames)` is called for each message that changed something. */
  constructor(path, onChange) {
    this.path = path;
    this.onChange = onChange;
    this.panel = new PanelState();
    this.heardAt = performance.now();
    this.retryMs = RETRY_FIRST_MS;
    this.clockOffsetMs = 0;
    this.toldSeenAt = 0;
    this.systemSeenAt = performance.now();
    this.stats = { messages: 0, bytes: 0, increments: 0, snapshots: 0 };
    this.#connect();
    setInterval(() => this.#watch(), 250);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.socket.readyState > WebSocket.OPEN) this.#reconnectNow();
    });
  }

  get state() {
    return this.panel.state;
  }

  /** The server's clock, as well as this page knows it, in epoch milliseconds. */
  wallNow() {
    return Date.now() + this.clockOffsetMs;
  }

  get isReplay() {
    return this.state.system?.runMode === "REPLAY";
  }

  /** Now on the market that is shown: the server's clock, or how far the replay is. */
  serverNow() {
    const { marketTs, paused, speedFactor } = this.state.system ?? {};
    if (!this.isReplay || !marketTs) return this.wallNow();
    return Date.parse(marketTs) + (performance.now() - this.systemSeenAt) * (paused ? 0 : (speedFactor ?? 0));
  }

  #told(changed, message) {
    if (changed.has("system")) {
      this.systemSeenAt = performance.now();
      showRunMode(this.state.system);
    }
    this.onChange(this.state, changed, message);
  }

  #connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}${this.path}`);
    this.opened = false;
    this.socket.onopen = () => {
      this.opened = true;
      this.retryMs = RETRY_FIRST_MS;
    };
    this.socket.onmessage = (event) => this.#receive(event.data);
    this.socket.onclose = () => this.#closed();
  }

  #receive(text) {
    const message = JSON.parse(text);
    this.heardAt = performance.now();
    this.clockOffsetMs = message.t - Date.now();
    this.stats.messages += 1;
    this.stats.bytes += text.length;
    this.#setStale(false);
    if (message.type === "snapshot") {
      this.stats.snapshots += 1;
      sayWhatIsKnown();
      this.#told(this.panel.load(message), message);
    } else if (message.type === "increment") {
      this.#increment(message);
    }
  }

  #increment(message) {
    try {
      this.stats.increments += 1;
      this.#told(this.panel.apply(message), message);
      this.#tellSeen(message.t);
    } catch (error) {
      if (!(error instanceof SequenceGap)) throw error;
      this.socket.send(JSON.stringify({ type: "resync" }));
    }
  }

  /** Now and then the server hears how long its news took to be shown. */
  #tellSeen(stamp) {
    if (performance.now() - this.toldSeenAt < TELL_SEEN_MS || document.hidden) return;
    this.toldSeenAt = performance.now();
    this.socket.send(JSON.stringify({ type: "seen", t: stamp }));
  }

  #closed() {
    if (!this.opened) this.#checkSession();
    this.timer = setTimeout(() => this.#connect(), this.retryMs * (0.7 + Math.random() * 0.6));
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MAX_MS);
  }

  #reconnectNow() {
    clearTimeout(this.timer);
    this.retryMs = RETRY_FIRST_MS;
    this.#connect();
  }

  /** A refused socket says nothing; the API says whether the session is over. */
  async #checkSession() {
    try {
      const answer = await fetch("/api/health", { headers: { Accept: "application/json" } });
      if (answer.status === 401 || answer.status === 403) {
        location.assign(`/login/?next=${encodeURIComponent(location.pathname)}`);
      }
    } catch {
      // The server is down: the page says so by being stale, and tries again.
    }
  }

  #watch() {
    const silentMs = performance.now() - this.heardAt;
    if (silentMs > STALE_AFTER_MS) this.#setStale(true, silentMs);
  }

  #setStale(isStale, silentMs = 0) {
    document.body.classList.toggle("stale", isStale);
    const dot = document.getElementById("conn-dot");
    dot.className = `dot ${isStale ? "ERROR" : "OK"}`;
    document.getElementById("conn-label").textContent = isStale ? "stale" : "live";
    if (isStale) {
      document.getElementById("stale-text").textContent =
        `STALE – no data for ${Math.floor(silentMs / 1000)} s. What you see is old. Reconnecting…`;
    }
  }
}
