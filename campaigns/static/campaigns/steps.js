// Add, move, remove and restore the steps of a campaign. Without JavaScript, staff use position numbers and checkboxes.

import { MessageEditor } from "./message-editor/editor.js";

const steps = document.getElementById("steps");
const total = document.querySelector("[name=steps-TOTAL_FORMS]");
const add = document.getElementById("add-step");
const trigger = document.getElementById("id_trigger");
const knowledge = JSON.parse(document.getElementById("message-knowledge").textContent);

const allSteps = () => [...steps.querySelectorAll(".step")];
const part = (step, name) => step.querySelector(`[name$="-${name}"]`);

function renumber() {
  allSteps().forEach((step, place, { length }) => {
    part(step, "ORDER").value = place + 1;
    step.querySelector(".place").textContent = place + 1;
    step.querySelector("legend").textContent = `Step ${place + 1}`;
    const [up, down] = [step.querySelector(".move-up"), step.querySelector(".move-down")];
    if (up) up.disabled = place === 0;
    if (down) down.disabled = place === length - 1;
  });
}

function showParts(step) {
  const channel = part(step, "channel").value;
  for (const field of step.querySelectorAll("[data-channels]")) {
    field.hidden = !field.dataset.channels.split(" ").includes(channel);
  }
}

function showTrigger() {
  for (const field of document.querySelectorAll("[data-only]")) {
    field.hidden = !field.dataset.only.split(" ").includes(trigger.value);
  }
}

function remove(step, isRemoved) {
  part(step, "DELETE").checked = isRemoved;
  step.querySelector(".step-fields").hidden = isRemoved;
  step.querySelector(".removed").hidden = !isRemoved;
  step.querySelector(".remove").hidden = isRemoved;
  step.querySelector(".keep").hidden = !isRemoved;
}

// Move the neighbouring step, not this one, so that the button keeps the focus.
function move(step, other, isUp, button) {
  if (!other) return;
  if (isUp) step.after(other);
  else step.before(other);
  renumber();
  if (button.disabled) step.querySelector(".move-up:enabled, .move-down:enabled")?.focus();
}

function attachButtons(step) {
  const on = (selector, action) =>
    step.querySelector(selector)?.addEventListener("click", ({ currentTarget }) => action(currentTarget));
  on(".move-up", (button) => move(step, step.previousElementSibling, true, button));
  on(".move-down", (button) => move(step, step.nextElementSibling, false, button));
  on(".remove", () => {
    remove(step, true);
    step.querySelector(".keep").focus();
  });
  on(".keep", () => {
    remove(step, false);
    step.querySelector(".remove").focus();
  });
  new MessageEditor(step, knowledge);
  part(step, "channel").addEventListener("change", () => showParts(step));
  step.querySelector(".actions").hidden = false;
  step.querySelector(".without-script").hidden = true;
  showParts(step);
  if (part(step, "DELETE")?.checked) remove(step, true);
}

add.hidden = false;
add.addEventListener("click", () => {
  const template = document.getElementById("empty-step").innerHTML;
  steps.insertAdjacentHTML("beforeend", template.replaceAll("__prefix__", total.value));
  total.value = Number(total.value) + 1;
  const step = steps.lastElementChild;
  attachButtons(step);
  renumber();
  part(step, "channel").focus();
});
trigger.addEventListener("change", showTrigger);
showTrigger();
allSteps().forEach(attachButtons);
renumber();
