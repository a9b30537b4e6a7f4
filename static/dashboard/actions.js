// Operator actions: ask for a reason (and a typed word where it costs money), send, show what came of it.

import { $, setText } from "./dom.js";

const csrfToken = () => document.querySelector("input[name=csrfmiddlewaretoken]").value;

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken() },
    body: JSON.stringify(body),
  });
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(json.error?.message ?? `the server answered ${answer.status}`);
  return json;
}

export class ActionDialog {
  constructor() {
    this.dialog = $("action-dialog");
    $("action-cancel").onclick = () => this.dialog.close();
    $("action-form").onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    for (const id of ["action-reason", "action-confirm"]) $(id).oninput = () => this.#check();
    this.dialog.onclose = () => clearInterval(this.progress);
  }

  /**
   * `action`: {title, text, word, submit, danger, path, body(reason), follow?()}.
   * `follow` is asked after acceptance until it returns {done: true, text}.
   */
  open(action) {
    this.action = action;
    setText($("action-title"), action.title);
    setText($("action-text"), action.text);
    $("action-confirm-field").hidden = !action.word;
    setText($("action-word"), action.word ?? "");
    for (const id of ["action-reason", "action-confirm"]) {
      $(id).value = "";
      $(id).disabled = false;
    }
    const submit = $("action-submit");
    submit.hidden = false;
    submit.className = action.danger ? "danger" : "primary";
    setText(submit, action.submit);
    setText($("action-cancel"), "Cancel");
    $("action-outcome").hidden = true;
    this.#check();
    this.dialog.showModal();
    $("action-reason").focus();
  }

  #check() {
    const confirmed = !this.action.word || $("action-confirm").value.trim() === this.action.word;
    $("action-submit").disabled = !confirmed || $("action-reason").value.trim().length < 3;
  }

  async #send() {
    const { path, body } = this.action;
    $("action-submit").disabled = true;
    this.#say("Sending…");
    try {
      const answer = await post(path, body($("action-reason").value.trim()));
      this.#say(answer.message, answer.success ? "good" : "bad");
      if (answer.success) this.#accepted(answer.message);
      else this.#check();
    } catch (error) {
      this.#say(`Refused: ${error.message}`, "bad");
      this.#check();
    }
  }

  #accepted(message) {
    $("action-submit").hidden = true;
    setText($("action-cancel"), "Close");
    $("action-cancel").focus();
    if (!this.action.follow) return;
    const ask = () => {
      const { done, text } = this.action.follow();
      this.#say(`${message} ${text}`, done ? "good" : "");
      if (done) clearInterval(this.progress);
    };
    ask();
    this.progress = setInterval(ask, 200);
  }

  #say(text, tone = "") {
    const outcome = $("action-outcome");
    outcome.hidden = false;
    outcome.className = `outcome ${tone}`;
    setText(outcome, text);
  }
}
