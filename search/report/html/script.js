"use strict";
// Tables: a click on a header sorts, a word in the field above filters. Points: their values on
// hover. Nothing is fetched, and no text becomes markup: only textContent is written.
(() => {
  const UNITS = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

  function numberIn(cell) {
    const match = /^[<+]?\s*(-?\d*\.?\d+(?:e[-+]?\d+)?)\s*([kMGT](?![a-zA-Z]))?/.exec(textOf(cell).replace("\u2212", "-"));
    return match ? Number(match[1]) * (UNITS[match[2]] || 1) : null;
  }

  function textOf(cell) {
    return cell ? cell.textContent.trim() : "";
  }

  // Numbers before words before nothing, whichever way the column is sorted.
  function compare(a, b, sign) {
    const x = numberIn(a), y = numberIn(b);
    if (x !== null && y !== null) return sign * (x - y);
    if (x !== null || y !== null) return x !== null ? -1 : 1;
    if (!textOf(a) || !textOf(b)) return textOf(a) ? -1 : textOf(b) ? 1 : 0;
    return sign * textOf(a).localeCompare(textOf(b));
  }

  function sortBy(table, header) {
    const place = header.cellIndex;
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const fixed = [...body.rows].filter((row) => row.classList.contains("reference"));
    const rows = [...body.rows].filter((row) => !row.classList.contains("reference"));
    rows.sort((a, b) => compare(a.cells[place], b.cells[place], down ? -1 : 1));
    body.append(...rows, ...fixed);
  }

  for (const table of document.querySelectorAll("table.sort")) {
    for (const header of table.tHead.rows[0].cells) {
      header.tabIndex = 0;
      header.setAttribute("role", "button");
      header.addEventListener("click", () => sortBy(table, header));
      header.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        sortBy(table, header);
      });
    }
    if (table.tBodies[0].rows.length < 8) continue;
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "filter";
    field.setAttribute("aria-label", "filter the rows of the table");
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !row.classList.contains("reference") && !words.every((word) => text.includes(word));
      }
    });
    table.parentNode.before(field);
  }

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener("pointerover", (event) => {
    const point = event.target.closest && event.target.closest("svg use");
    if (!point) { tip.hidden = true; return; }
    const title = point.querySelector("title");
    if (title) { point.dataset.tip = title.textContent; title.remove(); }
    if (!point.dataset.tip) { tip.hidden = true; return; }
    tip.textContent = point.dataset.tip;
    tip.hidden = false;
    const box = point.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.left = `${Math.max(8, left) + window.scrollX}px`;
    tip.style.top = `${box.top + window.scrollY - tip.offsetHeight - 6}px`;
  });
})();
