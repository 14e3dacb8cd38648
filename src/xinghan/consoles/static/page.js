// Times in the viewer's zone, the countdown of an order, and copying: pages work without any of it.
"use strict";

const language = document.documentElement.lang;
const whole = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });

const deadlines = new WeakMap();

function localise(root) {
  for (const time of root.querySelectorAll("time[data-local]")) {
    time.title = time.textContent;
    time.textContent = whole.format(new Date(time.dateTime));
    time.removeAttribute("data-local");
  }
  // The time that is left comes from the server, because the viewer's clock may be wrong.
  for (const time of root.querySelectorAll("time[data-left]")) {
    deadlines.set(time, performance.now() + Number(time.dataset.left) * 1000);
  }
  for (const button of root.querySelectorAll("[data-copy][hidden]")) {
    button.hidden = !navigator.clipboard;
  }
}

function count() {
  for (const time of document.querySelectorAll("time[data-left]")) {
    const left = deadlines.get(time) - performance.now();
    const seconds = Math.max(0, Math.floor(left / 1000));
    const parts = [Math.floor((seconds / 60) % 60), seconds % 60];
    if (seconds >= 3600) parts.unshift(Math.floor(seconds / 3600));
    time.textContent = parts.map((part) => String(part).padStart(2, "0")).join(":");
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = button.dataset.done;
});
document.addEventListener("htmx:load", (event) => {
  localise(event.target);
  count();
});

localise(document);
count();
setInterval(count, 1000);
