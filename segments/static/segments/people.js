// The table of people: select all on a page, and how many are selected.

const form = document.querySelector(".people-selection");

if (form) {
  const all = form.querySelector(".tick-all");
  const boxes = [...form.querySelectorAll("[name=customer]")];
  const everybody = form.querySelector("[name=everybody]");
  const count = form.querySelector(".selected-count");

  const show = () => {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
    form.classList.toggle("has-selection", ticked > 0 || everybody.checked);
    count.textContent = everybody.checked
      ? "With everybody:"
      : ticked
        ? `With ${ticked} selected ${ticked === 1 ? "person" : "people"}:`
        : "With the selected people:";
  };

  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  form.addEventListener("change", show);
  show();
}
