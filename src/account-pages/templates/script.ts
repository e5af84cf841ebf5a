/**
 * What makes the pages better where scripts run. Each page works without it. It is a file of its own, because the
 * Content Security Policy allows nothing inline.
 */
export const PAGES_SCRIPT = `'use strict';
for (const input of document.querySelectorAll('input[data-advice]')) {
  const shown = document.getElementById(input.id + '-advice');
  let timer;
  let asked = 0;
  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const mine = (asked += 1);
      const form = input.form;
      if (input.value === '') return void (shown.textContent = '');
      const body = new URLSearchParams({ csrf: form.elements.csrf.value, password: input.value });
      const username = form.elements.username;
      if (username) body.set('username', username.value);
      try {
        const answer = await fetch(input.dataset.advice, { method: 'POST', body });
        const advice = answer.ok ? (await answer.json()).advice : '';
        if (mine === asked) shown.textContent = advice;
      } catch {
        shown.textContent = '';
      }
    }, 400);
  });
  // The answer would come too late, and the form's token may have changed by then.
  input.form.addEventListener('submit', () => clearTimeout(timer));
}
for (const input of document.querySelectorAll('input[name=user_code]')) {
  input.addEventListener('input', () => {
    const end = input.selectionEnd === input.value.length;
    if (!end) return;
    const letters = input.value.toUpperCase().replace(/[^A-Z]/g, '').slice(0, 8);
    input.value = letters.length > 4 ? letters.slice(0, 4) + '-' + letters.slice(4) : letters;
  });
}
for (const form of document.querySelectorAll('form[method=post]')) {
  form.addEventListener('submit', (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = 'yes';
    // The page stays where an app takes over that the browser opens.
    setTimeout(() => delete form.dataset.sent, 3000);
  });
}
addEventListener('pageshow', () => {
  for (const form of document.querySelectorAll('form[data-sent]')) delete form.dataset.sent;
});
for (const time of document.querySelectorAll('time[datetime]')) {
  const shown = { dateStyle: 'medium', timeStyle: 'short' };
  time.textContent = new Date(time.dateTime).toLocaleString(document.documentElement.lang, shown);
}
const done = document.querySelector('[data-login]');
if (done) {
  const login = JSON.parse(done.dataset.login);
  if (window.onLogin) window.onLogin(login);
  if (window.matrixLogin && window.matrixLogin.onLogin) window.matrixLogin.onLogin(login);
}
if (document.querySelector('[data-auth-done]')) {
  if (window.onAuthDone) window.onAuthDone();
  else if (window.opener && window.opener.postMessage) window.opener.postMessage('authDone', '*');
}
`;
