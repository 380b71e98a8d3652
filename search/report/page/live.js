"use strict";

// A page that is served: asks for news, and changes what differs in its place, so that scrolling, focus, sorting,
// opened parts and a figure's zoom stay.
const SLOW_S = 15;
const readers = new Set(["open", "aria-sort"]);  // attributes that are the reader's to set
const changed = new Set();  // the figures whose data did
let tag = null, timer = null;

const keyOf = (node) => node.id || node.dataset?.key;

function set(old, fresh, name) {
  const value = fresh.getAttribute(name);
  if (old.getAttribute(name) !== value) old.setAttribute(name, value);
}

function update(old, fresh) {
  if (old.nodeName !== fresh.nodeName || keyOf(old) !== keyOf(fresh)) return old.replaceWith(fresh);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data === fresh.data) return;
    old.data = fresh.data;
    if (old.parentNode.dataset.figure) changed.add(document.getElementById(old.parentNode.dataset.figure));
    return;
  }
  if (old.nodeName === "TH" && old.textContent !== fresh.textContent) old.removeAttribute("aria-sort");
  if (old.classList.contains("plot")) {  // what is inside is plotly's
    for (const name of ["aria-label", "style"]) set(old, fresh, name);
    return;
  }
  for (const name of fresh.getAttributeNames()) set(old, fresh, name);
  for (const name of old.getAttributeNames())
    if (!fresh.hasAttribute(name) && !readers.has(name)) old.removeAttribute(name);
  updateChildren(old, fresh);
}

// Children with a key are found by it, wherever they were; the others by their place.
function updateChildren(old, fresh) {
  const keys = new Set([...fresh.childNodes].map(keyOf));
  for (const child of [...old.childNodes]) if (keyOf(child) && !keys.has(keyOf(child))) child.remove();
  const known = new Map([...old.childNodes].map((child) => [keyOf(child), child]));
  let next = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const mine = keyOf(child) ? known.get(keyOf(child)) : next && !keyOf(next) ? next : undefined;
    if (!mine) { old.insertBefore(child, next); continue; }
    if (mine === next) next = next.nextSibling; else old.insertBefore(mine, next);
    update(mine, child);
  }
  while (next) { const after = next.nextSibling; next.remove(); next = after; }
}

function show(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("page");
  update(document.getElementById("page"), fresh);
  document.title = ["h1", "#headline"].map((where) => document.querySelector(where).textContent).join(": ");
  document.querySelectorAll("th[aria-sort]").forEach(sortRows);
  for (const place of drawn) if (!place.isConnected) { Plotly.purge(place); drawn.delete(place); }
  for (const place of changed) if (drawn.has(place)) Plotly.react(place, ...figureOf(place));
  changed.clear();
  document.querySelectorAll(".plot").forEach((place) => near.observe(place));
}

// Returns the seconds until it is worth while to ask again.
async function ask() {
  const line = document.getElementById("live");
  try {
    const answer = await fetch("update", { cache: "no-store", headers: tag ? { "If-None-Match": tag } : {} });
    if (answer.status === 200) {
      tag = answer.headers.get("ETag");
      show(await answer.text());
    } else if (answer.status !== 304) throw new Error(answer.statusText);
    line.classList.remove("lost");
    return Number(line.dataset.every);
  } catch {
    line.classList.add("lost");
    return SLOW_S;
  }
}

async function watch() {
  clearTimeout(timer);
  const wait = document.hidden ? SLOW_S : await ask();
  clearTimeout(timer);
  timer = setTimeout(watch, wait * 1000);
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) watch(); });
watch();
