// Sorting and filtering of tables with class "sortable". Without script every row is there, in the order of the review.
"use strict";
const collator = new Intl.Collator("en", { numeric: true });
const keyOf = (row, place) => {
  const cell = row.cells[place];
  return cell.dataset.sort ?? cell.textContent.trim();
};

function sortBy(table, place, numbers, direction) {
  const body = table.tBodies[0];
  const sign = direction === "ascending" ? 1 : -1;
  const rows = [...body.rows].map((row) => [keyOf(row, place), row]);
  rows.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // not known: last in both directions
    return sign * (numbers ? Number(a) - Number(b) : collator.compare(a, b));
  });
  body.append(...rows.map(([, row]) => row));
}

function addSorting(table) {
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    const button = document.createElement("button");
    const numbers = head.classList.contains("number");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const now = was ? (was === "ascending" ? "descending" : "ascending") : numbers ? "descending" : "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", now);
      sortBy(table, place, numbers, now);
    });
  });
}

function addFilter(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < 6) return;
  const label = document.createElement("label");
  const input = document.createElement("input");
  const count = document.createElement("output");
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => texts.get(row).includes(word));
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  };
  input.type = "search";
  input.placeholder = "for example: shop memory low";
  input.addEventListener("input", show);
  label.className = "filter";
  label.append("Rows with ", input, count);
  table.closest(".wide").before(label);
  show();
}

for (const table of document.querySelectorAll("table.sortable")) {
  addSorting(table);
  addFilter(table);
}
