import { readableOn, textOn } from '../colors.rules.js';

const LIGHT = {
  back: '#f4f5f7',
  card: '#ffffff',
  text: '#17191c',
  soft: '#565e6b',
  line: '#7d8694',
  danger: '#b3261e',
};
const DARK = {
  back: '#101216',
  card: '#1a1d23',
  text: '#eceef2',
  soft: '#a9b2c0',
  line: '#7f8897',
  danger: '#ff8a80',
};

/** The style sheet of all pages, with the colour of the operator made readable in both colour schemes. */
export function styleFor(color: string): string {
  return `
:root{${variables(LIGHT, color)}color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{${variables(DARK, color)}}}
*{box-sizing:border-box}html{scroll-padding:1rem 0}
body{margin:0;background:var(--back);color:var(--text);font:100%/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
.skip{position:absolute;left:-999px}.skip:focus{left:1rem;top:.5rem;padding:.25rem .5rem;background:var(--card)}
header,main{max-width:30rem;margin:0 auto}main:has(.cards),header:has(+main .cards){max-width:44rem}
header{padding:1.5rem 1rem .75rem;display:flex;gap:.75rem;align-items:center}
header img{height:2.5rem;max-width:10rem}header span{font-weight:600;font-size:1.1rem}
main{margin-bottom:3rem;padding:2rem;background:var(--card);border:1px solid var(--rule);border-radius:.75rem}
main>:last-child{margin-bottom:0}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .75rem}h2{font-size:1.2rem;margin:2.5rem 0 .5rem}h3{font-size:1rem;margin:0}
a{color:var(--link)}p{margin:.5rem 0 1rem}ul{margin:.5rem 0 1rem;padding-left:1.25rem}form+p,.actions+p{margin-top:1.5rem}
.hint{color:var(--soft);font-size:.9rem;margin:.25rem 0 0}.soft{color:var(--soft);font-weight:400}
.error{color:var(--danger);font-weight:600;margin:.25rem 0 0}
.box{border:1px solid;border-left-width:.3rem;border-radius:.5rem;padding:.75rem 1rem;margin:1rem 0 1.25rem}
.notice{color:var(--link)}
.field{margin:0 0 1.25rem}label{display:block;font-weight:600;margin:0 0 .25rem}
label.check{display:flex;gap:.75rem;align-items:center;font-weight:400;min-height:44px;margin:0 0 .5rem}
input:not([type=checkbox]):not([type=hidden]){width:100%;min-height:44px;padding:.5rem .75rem;font:inherit;
color:inherit;background:transparent;border:1px solid var(--line);border-radius:.5rem}
input[aria-invalid]:not([type=hidden]){border-color:var(--danger)}
input[type=checkbox]{width:1.5rem;height:1.5rem;flex:none;margin:0;accent-color:var(--main)}
button,.button{display:inline-flex;align-items:center;justify-content:center;min-height:44px;padding:.5rem 1.25rem;
font:inherit;font-weight:600;text-align:center;border-radius:.5rem;border:1px solid var(--line);
background:transparent;color:inherit;cursor:pointer;text-decoration:none}
button.main{background:var(--main);border-color:var(--main);color:var(--on-main)}
button.danger,.button.danger{color:var(--danger);border-color:var(--danger)}
button.quiet{border-color:transparent;padding-left:0;padding-right:0;color:var(--link);font-weight:400;
text-decoration:underline}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.actions{display:flex;flex-wrap:wrap;gap:.75rem;align-items:center;margin:1.5rem 0 0}form+form>.actions{margin-top:.5rem}
dl{margin:1rem 0}dl div{display:flex;flex-wrap:wrap;gap:0 1rem;padding:.4rem 0;border-top:1px solid var(--rule)}
dl div:first-child{border-top:0}dt{flex:0 0 10rem;color:var(--soft)}dd{margin:0;flex:1 1 12rem}
ul.cards{list-style:none;margin:0;padding:0}ul.cards>li{border-top:1px solid var(--rule);padding:.75rem 0;display:flex;
gap:1rem;align-items:flex-start}ul.cards>li>div{flex:1}ul.cards p{margin:.1rem 0 0}
ul.links{list-style:none;padding:0}ul.links a{display:inline-flex;align-items:center;min-height:44px}
.code,input[name=user_code]:not([type=hidden]){font:600 1.6rem/1.2 ui-monospace,monospace;letter-spacing:.1em}
.code{margin:1rem 0;text-align:center}input[name=user_code]{text-transform:uppercase}
@media (min-width:48rem){header{padding-top:4rem}}
@media (max-width:30rem){main{border-width:1px 0;border-radius:0;padding:1.5rem 1rem}dt{flex-basis:100%}
.actions>*,.actions button:not(.quiet){width:100%}}
@media (prefers-reduced-motion:no-preference){:focus-visible{transition:outline-offset .1s}}
`;
}

function variables(scheme: typeof LIGHT, color: string): string {
  const main = readableOn(scheme.card, color);
  const values = { ...scheme, main, 'on-main': textOn(main), link: main, rule: `${scheme.line}40` };
  return Object.entries(values)
    .map(([name, value]) => `--${name}:${value};`)
    .join('');
}
