"use strict";
// Switches of the legend: show or hide an algorithm in all pictures.
for (const chip of document.querySelectorAll(".legend button")) {
  chip.addEventListener("click", () => {
    const shown = chip.getAttribute("aria-pressed") !== "true";
    chip.setAttribute("aria-pressed", shown);
    for (const part of document.querySelectorAll(".m" + chip.dataset.method)) part.style.display = shown ? "" : "none";
  });
}

const keyOf = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.key ?? cell.textContent;
};
const number = (text) => (text === "" || isNaN(text) ? null : Number(text));
// What is no number comes last, whichever way numbers are sorted.
const compare = (a, b, sign) => {
  const [x, y] = [number(a), number(b)];
  if (x !== null && y !== null) return sign * (x - y);
  if (x !== null || y !== null) return x !== null ? -1 : 1;
  return sign * a.localeCompare(b, "en", { numeric: true });
};

for (const box of document.querySelectorAll(".table")) {
  const body = box.querySelector("tbody");
  const heads = [...box.querySelectorAll("th")];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const rows = [...body.rows];
      rows.sort((a, b) => compare(keyOf(a, column), keyOf(b, column), ascending ? 1 : -1));
      body.append(...rows);
    });
  });
  const form = box.querySelector("form");
  if (!form) continue;
  const filter = () => {
    const words = form.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
    const choices = [...form.querySelectorAll("select")].filter((select) => select.value);
    let left = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      row.hidden = !(fits && choices.every((c) => row.cells[c.dataset.column].textContent === c.value));
      left += row.hidden ? 0 : 1;
    }
    const all = body.rows.length;
    form.querySelector("output").textContent = left === all ? `${all} rows` : `${left} of ${all} rows`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
}
