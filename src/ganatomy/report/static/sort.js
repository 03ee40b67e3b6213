/** A click on a heading sorts the table by that column, greatest first; a second click reverses the order. */
const numberIn = (text) => parseFloat((text.replaceAll("−", "-").replaceAll(",", "").match(/[-+]?\d*\.?\d+/) ?? [])[0]);

function compare(one, other) {
  const [a, b] = [numberIn(one), numberIn(other)];
  if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? -1 : 1;
  return a - b || one.localeCompare(other);
}

for (const head of document.querySelectorAll("table.ranked:not(.heat) thead th")) {
  const sort = () => {
    const order = head.ariaSort === "descending" ? "ascending" : "descending";
    const body = head.closest("table").tBodies[0], sign = order === "ascending" ? 1 : -1;
    const text = (row) => row.cells[head.cellIndex].textContent;
    for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
    head.ariaSort = order;
    body.append(...[...body.rows].sort((a, b) => sign * compare(text(a), text(b))));
  };
  head.tabIndex = 0;
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
}
