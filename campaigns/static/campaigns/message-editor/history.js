// Undo and redo. A state is a text; one step for a word that is typed, not for each letter.

export class History {
  constructor() {
    this.past = [];
    this.future = [];
    this.typing = null;
  }

  /** Remember the state before a change. `typed` names the field in which somebody is typing. */
  record(before, typed = null) {
    if (typed && typed === this.typing) return;
    this.past.push(before);
    this.future = [];
    this.typing = typed;
  }

  /** Return the state to go back to, or null. */
  undo(now) {
    return this.#travel(this.past, this.future, now);
  }

  redo(now) {
    return this.#travel(this.future, this.past, now);
  }

  #travel(from, to, now) {
    this.typing = null;
    if (!from.length) return null;
    to.push(now);
    return from.pop();
  }
}
