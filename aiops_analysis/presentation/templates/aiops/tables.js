// Sorting and filtering of tables with class "sortable". Without script every row is there, in the order of the review.
"use strict";
const collator = new Intl.Collator("en", { numeric: true });
const keyOf = (row, place, numbers) => {
  const cell = row.cells[place];
  const key = cell.dataset.sort ?? cell.textContent.trim();
  return !numbers || "sort" in cell.dataset ? key : key === "–" ? "" : key.replace("−", "-").replaceAll(",", "");
};

// Rows of a table, each with the line below that belongs to it.
const pairsOf = (table) => {
  const pairs = [];
  for (const row of table.tBodies[0].rows) {
    if (row.className === "more") pairs.at(-1).push(row);
    else pairs.push([row]);
  }
  return pairs;
};

function sortBy(table, place, numbers, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const pairs = pairsOf(table).map((pair) => [keyOf(pair[0], place, numbers), pair]);
  pairs.sort(([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // not known: last in both directions
    return sign * (numbers ? Number(a) - Number(b) : collator.compare(a, b));
  });
  table.tBodies[0].append(...pairs.flatMap(([, pair]) => pair));
}

function addSorting(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    if (head.classList.contains("plain")) return;
    const button = document.createElement("button");
    const numbers = head.classList.contains("number");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const now = was ? (was === "ascending" ? "descending" : "ascending") : numbers ? "descending" : "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", now);
      sortBy(table, place, numbers, now);
    });
  });
}

// One filter for a table and for the folded lists that continue it.
function addFilter(scope) {
  const tables = scope.matches("table") ? [scope] : [...scope.querySelectorAll("table.sortable")];
  if (tables.reduce((sum, table) => sum + table.tBodies[0].rows.length, 0) < 6) return;
  const [line, label, input, count] = ["div", "label", "input", "output"].map((tag) => document.createElement(tag));
  let parts; // read at the first letter: [[[row, its second line], text], ...] of each table
  const read = () => tables.map((table) => pairsOf(table).map((pair) => {
    const why = pair[1]?.querySelector(".why")?.textContent ?? "";
    return [pair, `${pair[0].textContent} ${why}`.toLowerCase()];
  }));
  const show = () => {
    parts ??= read();
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const [here, below] = parts.map((part) => {
      let shown = 0;
      for (const [pair, text] of part) {
        const fits = words.every((word) => text.includes(word));
        shown += fits;
        for (const row of pair) if (row.hidden === fits) row.hidden = !fits;
      }
      return `${shown.toLocaleString("en")} of ${part.length.toLocaleString("en")} rows`;
    });
    count.textContent = below ? `${here}, ${below} in the list below` : here;
  };
  input.type = "search";
  input.placeholder = "for example: shop memory low";
  input.addEventListener("input", show);
  line.className = "filter";
  label.append("Rows with ", input);
  line.append(label, count);
  tables[0].closest(".wide").before(line);
}

for (const table of document.querySelectorAll("table.sortable")) addSorting(table);
for (const scope of document.querySelectorAll(".filtered, table.sortable")) {
  if (!scope.parentElement.closest(".filtered")) addFilter(scope);
}

// What is folded is printed open.
const folded = () => document.querySelectorAll("details:not(.code)");
addEventListener("beforeprint", () => {
  for (const one of folded()) {
    one.dataset.was = one.open;
    one.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const one of folded()) one.open = one.dataset.was === "true";
});
