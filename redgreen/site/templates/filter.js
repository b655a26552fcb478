"use strict";
// Narrows the ledger to the chosen values; without this script the links under "Browse" do the same.
(() => {
  const MOST = 300;
  const form = document.getElementById("filter");
  const rows = document.getElementById("rows");
  const pattern = document.getElementById("row");
  const whole = [...rows.children];
  const caption = rows.closest("table").caption;
  const told = caption.textContent;
  const pagers = document.querySelectorAll(".pager");

  function build(run) {
    const row = pattern.content.cloneNode(true);
    for (const part of row.querySelectorAll("[data-text]")) part.textContent = run[part.dataset.text];
    for (const part of row.querySelectorAll("[data-href]")) part.href = run[part.dataset.href];
    for (const part of row.querySelectorAll("[data-class]")) part.classList.add(run.good ? "good" : "bad");
    for (const part of row.querySelectorAll("[data-text=proof]")) part.classList.toggle("good", run.proofs === "PROVEN");
    return row;
  }

  function update() {
    const wanted = [...new FormData(form)].filter(([, value]) => value);
    const found = RUNS.filter((run) => wanted.every(([key, value]) => run[key] === value));
    rows.replaceChildren(...(wanted.length ? found.slice(0, MOST).map(build) : whole));
    for (const pager of pagers) pager.hidden = wanted.length > 0;
    const cut = found.length > MOST ? `, the newest ${MOST} shown` : "";
    if (wanted.length || location.hash) location.replace(`#${new URLSearchParams(wanted)}`); // an address that others can open
    caption.textContent = wanted.length ? `${found.length} of ${RUNS.length} runs${cut}` : told;
    form.querySelector("output").textContent = wanted.length ? caption.textContent : "";
  }

  for (const select of form.querySelectorAll("select")) {
    const values = new Set(RUNS.map((run) => run[select.name]).filter(Boolean));
    select.append(...[...values].sort().map((value) => new Option(value)));
  }
  form.addEventListener("change", update);
  form.addEventListener("reset", () => setTimeout(update));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  for (const [key, value] of new URLSearchParams(location.hash.slice(1))) if (form.elements[key]) form.elements[key].value = value;
  update();
})();
