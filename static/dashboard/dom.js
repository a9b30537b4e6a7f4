// Small helpers over the DOM. Text goes in as textContent only, so nothing from the bus is ever markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name === "width") node.style.width = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

/** A table body with one row per key. Cells are written only when they differ, so selections survive. */
export class KeyedTable {
  /** `columns`: list of {class, cell(row, key) -> string | {text, class, title} | Node}. */
  constructor(body, columns, { empty = null } = {}) {
    this.body = body;
    this.columns = columns;
    this.empty = empty;
    this.rows = new Map();
  }

  render(entries) {
    const keys = new Set(entries.map(([key]) => key));
    for (const [key, row] of this.rows) {
      if (!keys.has(key)) {
        row.remove();
        this.rows.delete(key);
      }
    }
    let place = this.body.firstElementChild;
    for (const [key, data] of entries) {
      let row = this.rows.get(key);
      if (!row) {
        row = el("tr", {}, ...this.columns.map((column) => el("td", { class: column.class ?? "" })));
        row.dataset.key = key;
        this.rows.set(key, row);
      }
      if (row !== place) this.body.insertBefore(row, place);
      else place = place.nextElementSibling;
      this.columns.forEach((column, i) => this.#write(row.children[i], column, data, key));
    }
    if (this.empty) this.empty.hidden = entries.length > 0;
  }

  #write(cell, column, data, key) {
    const value = column.cell(data, key);
    if (column.node) {
      if (!cell.firstChild) cell.append(value);
      else column.update?.(cell, data, key);
      return;
    }
    const { text, class: name = "", title = "" } = typeof value === "object" ? value : { text: value };
    setText(cell, text);
    setClass(cell, `${column.class ?? ""} ${name}`.trim());
    if (cell.title !== title) cell.title = title;
  }
}
