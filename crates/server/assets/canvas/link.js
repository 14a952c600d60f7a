// A one-time link: what proves anything stands behind `#`, which no server is sent. It goes into the
// form, out of the address, and off.

const form = document.querySelector("form[data-link]");
const token = location.hash.slice(1);
if (form && token) {
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.submit();
}
