// Numbers and times as text. Unknown is "–", never 0.

const NONE = "–";
const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);
const MINUS = "\u2212";

export function fixed(value, digits) {
  if (!known(value)) return NONE;
  return Number(value)
    .toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits })
    .replace("-", MINUS);
}

export function signed(value, digits) {
  if (!known(value)) return NONE;
  return value > 0 ? `+${fixed(value, digits)}` : fixed(value, digits);
}

/** A price without thousands separators: prices are compared digit by digit. */
export function price(value, scale) {
  return known(value) ? Number(value).toFixed(scale) : NONE;
}

export function quantity(value, scale) {
  return known(value) ? Number(value).toFixed(scale) : NONE;
}

export function feature(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  if (size !== 0 && size < 1e-4) return value.toExponential(1).replace("-", MINUS);
  if (size >= 1e6) return `${fixed(value / 1e6, 2)}M`;
  if (size >= 1e4) return `${fixed(value / 1e3, 1)}k`;
  return fixed(value, size >= 100 ? 1 : size >= 1 ? 3 : 4);
}

export const tone = (value) => (known(value) && value !== 0 ? (value > 0 ? "up" : "down") : "");

export function clock(ms) {
  return known(ms) ? new Date(ms).toLocaleTimeString("en-GB") : NONE;
}

export function dateTime(ms) {
  if (!known(ms)) return NONE;
  const date = new Date(ms);
  const day = date.toLocaleDateString("en-GB", { day: "2-digit", month: "short" });
  return `${day} ${date.toLocaleTimeString("en-GB")}`;
}

export function utc(ms) {
  return known(ms) ? new Date(ms).toISOString().replace("T", " ").replace("Z", " UTC") : "";
}

export function span(seconds) {
  if (!known(seconds)) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${String(whole % 60).padStart(2, "0")}s`;
  return `${Math.floor(whole / 3600)}h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}m`;
}

/** A config version is a long name of its content: its first signs tell it apart. */
export const version = (name) => name.replace(/([0-9a-f]{8})[0-9a-f]+$/, "$1");
