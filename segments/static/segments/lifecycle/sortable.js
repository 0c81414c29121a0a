// Lists whose items staff move by dragging, or with the buttons of each item. The form sends the items in their order.
const status = document.querySelector("[data-sortable-status]");

function tell(item) {
  const items = [...item.parentElement.children];
  status.textContent = `${item.dataset.name} is now number ${items.indexOf(item) + 1} of ${items.length}`;
}

function move(item, step) {
  const other = step < 0 ? item.previousElementSibling : item.nextElementSibling;
  if (other) {
    other[step < 0 ? "before" : "after"](item);
    tell(item);
  }
}

function makeSortable(list) {
  let dragged = null;
  for (const item of list.children) {
    const grip = item.querySelector(".sortable-grip");
    grip.draggable = true;
    grip.addEventListener("dragstart", (event) => {
      dragged = item;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", "");
      event.dataTransfer.setDragImage(item, 10, 10);
    });
    grip.addEventListener("dragend", () => {
      if (dragged) tell(dragged);
      dragged = null;
    });
    item.addEventListener("dragover", (event) => {
      if (!dragged || dragged === item) return;
      event.preventDefault();
      const box = item.getBoundingClientRect();
      item[event.clientY > box.top + box.height / 2 ? "after" : "before"](dragged);
    });
    item.addEventListener("drop", (event) => event.preventDefault());
    for (const button of item.querySelectorAll("[data-move]")) {
      button.addEventListener("click", () => {
        move(item, Number(button.dataset.move));
        button.focus();
      });
    }
  }
}

for (const list of document.querySelectorAll("[data-sortable]")) {
  makeSortable(list);
}
