// Keeps "3 min ago" true while a page stays open. The words are those of web/time.rs.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** `20 Nov 2026`. */
export function date(at) {
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
}

/** `20 Nov 2026, 10:11:02 UTC`. */
export function full(at) {
  return `${date(at)}, ${at.toISOString().slice(11, 19)} UTC`;
}

/** `3 min ago`, `in 5 days`. */
export function words(at, now) {
  const span = Math.abs(now - at);
  const isPast = at <= now;
  if (span < MINUTE) return isPast ? "just now" : "in a moment";
  if (span >= 45 * DAY) return date(at);
  // What is past is whole; what is to come is rounded, or a key for 7 days would have 6 at once.
  const whole = (size) => Math.floor(isPast ? span / size : span / size + 0.5);
  const [size, unit] = whole(MINUTE) < 60 ? [MINUTE, "min"] : whole(HOUR) < 24 ? [HOUR, "hour"] : [DAY, "day"];
  const count = whole(size);
  const distance = `${count} ${unit}${count === 1 || unit === "min" ? "" : "s"}`;
  return isPast ? `${distance} ago` : `in ${distance}`;
}

/** Writes the words of one <time>. */
export function refresh(element, now = new Date()) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.valueOf())) return;
  const next = words(at, now);
  if (element.textContent !== next) element.textContent = next;
}

export function startTimes() {
  const all = () => {
    const now = new Date();
    for (const element of document.querySelectorAll("time[title]")) refresh(element, now);
  };
  setInterval(all, 30_000);
  document.addEventListener("visibilitychange", () => document.hidden || all());
}
