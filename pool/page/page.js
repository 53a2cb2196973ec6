'use strict';
// Everything that the server sends becomes text: nodes are made with createElement, texts are set
// with textContent, and nothing is parsed as HTML.

const $ = id => document.getElementById(id);
const svgNS = 'http://www.w3.org/2000/svg';

function node(name, attrs, ...children) {
	const n = name[0] === ':' ? document.createElementNS(svgNS, name.slice(1)) : document.createElement(name);
	for (const key in attrs) n.setAttribute(key, attrs[key]);
	n.append(...children);
	return n;
}

function setText(n, text) {
	if (n.textContent !== text) n.textContent = text;
}

// Numbers for people.

const count = n => n.toLocaleString('en', {maximumFractionDigits: n < 100 && n % 1 ? 2 : 0});

function seconds(s) {
	if (!s) return '–';
	if (s < 1e-3) return (s * 1e6).toFixed(0) + ' µs';
	if (s < 1) return (s * 1e3).toFixed(s < 0.1 ? 1 : 0) + ' ms';
	if (s < 120) return s.toFixed(s < 10 ? 2 : 1) + ' s';
	if (s < 7200) return (s / 60).toFixed(1) + ' min';
	return (s / 3600).toFixed(1) + ' h';
}

function bytes(n) {
	if (!n) return '–';
	let unit = 0;
	for (; n >= 1024 && unit < 4; unit++) n /= 1024;
	return n.toFixed(n < 10 && unit ? 1 : 0) + ' ' + ['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit];
}

const clock = time => new Date(time).toLocaleTimeString('en-GB');

// makeTable fills a table and returns a function that shows a list of rows in it. It keeps the
// nodes of rows whose key stays, so that the focus and a selection stay too. A column has a title
// and a function of the row that returns a text, or {text, href}, {text, click} or {text, lines}.
function makeTable(id, columns, {key, mark, empty, sorter}) {
	const head = node('tr'), body = node('tbody'), nothing = node('tr', {}, node('td', {colspan: columns.length, class: 'empty'}, empty));
	const rows = new Map();
	for (const c of columns) {
		c.node = node('th', {scope: 'col', class: c.num ? 'n' : ''});
		if (sorter && c.by) {
			const b = node('button', {type: 'button'}, c.title);
			b.onclick = () => sorter(c);
			c.node.append(b);
		} else c.node.append(c.title);
		if (c.help) c.node.title = c.help;
		head.append(c.node);
	}
	$(id).append(node('thead', {}, head), body);
	return list => {
		const focus = document.activeElement, seen = new Set();
		let at = body.firstChild;
		for (const row of list) {
			const k = key(row);
			if (seen.has(k)) continue;
			seen.add(k);
			let tr = rows.get(k);
			if (!tr) {
				tr = node('tr');
				for (const c of columns) tr.append(node(c.head ? 'th' : 'td', c.head ? {scope: 'row'} : {}));
				rows.set(k, tr);
			}
			tr.row = row;
			tr.className = mark ? mark(row) : '';
			columns.forEach((c, i) => setCell(tr, tr.children[i], c));
			if (tr === at) at = at.nextSibling;
			else body.insertBefore(tr, at);
		}
		for (const [k, tr] of rows) if (!seen.has(k)) {
			tr.remove();
			rows.delete(k);
		}
		if (seen.size) nothing.remove();
		else body.append(nothing);
		if (focus !== document.activeElement && focus.isConnected) focus.focus({preventScroll: true});
	};
}

function setCell(tr, td, c) {
	const value = c.get(tr.row);
	const v = typeof value === 'string' ? {text: value} : value;
	const name = [c.num && 'n', c.wide && 'w', c.code && 'code', c.level && c.level(tr.row)].filter(Boolean).join(' ');
	if (td.className !== name) td.className = name;
	const shown = v.lines ? v.lines.join('\n') : v.text + '\0' + (v.href || '');
	if (td.shown === shown) return;
	td.shown = shown;
	if (v.lines) {
		td.replaceChildren(node('details', {}, node('summary', {}, v.text), ...v.lines.map(l => node('div', {}, l))));
	} else if (v.href) {
		td.replaceChildren(node('a', {href: v.href, target: '_blank', rel: 'noopener noreferrer', title: v.title}, v.text));
	} else if (v.click) {
		const b = node('button', {type: 'button'}, v.text);
		b.onclick = () => c.get(tr.row).click();
		td.replaceChildren(b);
	} else td.textContent = v.text;
}

// What is shown.

let state = null, detail = null, statements = null;
let reasonsShown = '';
let selected = ''; // ID of the pool in detail
let chosen = null; // key of the statement in detail
let events = {pool: '', last: 0, list: [], missed: 0};
const history = new Map(); // of each pool
const points = 180; // of a chart

const urgency = p => ({down: 8, degraded: 4}[p.health] || 0) + (p.cycle ? 2 : 0) + (p.waiting > 0 ? 1 : 0);
const waiting = p => p.waiting === null ? '–' : count(p.waiting);
const warnIf = test => row => test(row) ? 'warn' : '';

function trace(id) {
	if (!id) return '';
	if (!state.trace_url || !/^[0-9a-f]{32}$/.test(id)) return id;
	return {text: id.slice(0, 8) + '…', title: id, href: state.trace_url.replaceAll('{trace}', id)};
}

// frame shortens "example.com/shop.Sell (/src/shop/sell.go:12)" to "shop.Sell (sell.go:12)".
const frame = text => text.replace(/^[^ ]*\//, '').replace(/\(.*[/\\]/, '(');

const showPools = makeTable('pools', [
	{title: 'pool', head: true, wide: true, get: p => ({text: p.name, click: () => select(p.id)})},
	{title: 'health', get: p => p.health + (p.cycle ? ', cycle' : ''), level: p => p.health === 'down' ? 'bad' : p.health === 'degraded' || p.cycle ? 'warn' : p.health === 'ok' ? 'good' : ''},
	{title: 'used / max', num: true, get: p => p.in_use + ' / ' + (p.max || 'any'), level: warnIf(p => p.max && p.in_use >= p.max && p.waiting)},
	{title: 'waiting', num: true, get: waiting, level: warnIf(p => p.waiting)},
	{title: 'longest wait', num: true, get: p => seconds(p.longest_wait), help: 'of those that wait now', level: warnIf(p => p.longest_wait >= 1)},
	{title: 'oldest reader', num: true, get: p => seconds(p.oldest_reader), help: 'with open rows or a transaction; it keeps the WAL from being reset', level: warnIf(p => p.oldest_reader >= 60)},
	{title: 'WAL / limit', num: true, get: p => p.wal_limit ? bytes(p.wal) + ' / ' + bytes(p.wal_limit) : bytes(p.wal), level: warnIf(p => p.wal_limit && p.wal > 2 * p.wal_limit)},
	{title: 'busy', num: true, get: p => count(p.busy), help: 'calls that found the database locked'},
	{title: 'timeouts', num: true, get: p => count(p.timeouts), help: 'acquires that waited too long'},
	{title: 'leaks', num: true, get: p => count(p.leaks), help: 'connections held for too long now', level: warnIf(p => p.leaks)},
	{title: 'commits / sync', num: true, get: p => p.syncs ? count(p.synced_commits / p.syncs) : '–'},
], {
	key: p => p.id, empty: 'no pools',
	mark: p => (p.id === selected ? 'on ' : '') + (p.health === 'down' ? 'bad' : urgency(p) > 1 ? 'warn' : ''),
});

const showHolders = makeTable('holders', [
	{title: 'held', num: true, get: h => seconds(h.held)},
	{title: 'lane', get: h => h.lane},
	{title: 'pool', get: h => h.pool_name, wide: true},
	{title: 'connection', num: true, get: h => h.conn},
	{title: 'last query', head: true, wide: true, code: true, get: h => h.last || '–'},
	{title: 'state', wide: true, get: h => [h.cycle && 'IN A CYCLE', h.waits_for && 'waits for ' + h.waits_for, h.tx && 'transaction', h.rows && 'open rows' + (h.rows > 1 ? ' × ' + h.rows : '')].filter(Boolean).join(', ') || '–', level: h => h.cycle ? 'bad' : h.waits_for ? 'warn' : ''},
	{title: 'owner', wide: true, get: h => h.owner || '–'},
	{title: 'trace', code: true, get: h => trace(h.trace) || '–'},
	{title: 'acquired at', wide: true, code: true, get: h => h.stack ? {text: frame(h.stack[0]), lines: h.stack} : '–'},
], {key: h => h.pool + ' ' + h.lane + ' ' + h.conn, empty: 'No connection is in use.', mark: h => h.cycle ? 'bad' : ''});

const showWaiters = makeTable('waiters', [
	{title: 'waited', num: true, get: w => seconds(w.waited)},
	{title: 'place', num: true, get: w => String(w.place)},
	{title: 'lane', get: w => w.lane},
	{title: 'pool', head: true, wide: true, get: w => w.pool_name},
	{title: 'query', wide: true, code: true, get: w => w.query || '–'},
	{title: 'state', get: w => w.cycle ? 'BEHIND A CYCLE' : 'waits', level: w => w.cycle ? 'bad' : ''},
	{title: 'owner', wide: true, get: w => w.owner || '–'},
	{title: 'trace', code: true, get: w => trace(w.trace) || '–'},
], {key: w => w.pool + ' ' + w.lane + ' ' + w.place, empty: 'No call waits.', mark: w => w.cycle ? 'bad' : ''});

const statementKey = s => s.id || s.text;
const time = (title, field, help) => ({title, num: true, help, by: s => s[field], get: s => seconds(s[field])});
const number = (title, field, help) => ({title, num: true, help, by: s => s[field], get: s => s[field] ? count(s[field]) : '–'});
const statementColumns = [
	{title: 'statement', head: true, wide: true, code: true, by: s => s.summary || s.text, get: s => ({text: s.summary || s.text, click: () => choose(s)})},
	number('calls', 'calls'), time('total', 'total'),
	{title: 'share', num: true, by: s => s.share, get: s => (100 * s.share).toFixed(1) + ' %', help: 'of the total of all statements'},
	time('mean', 'mean'), time('max', 'max'), time('p50', 'p50'), time('p95', 'p95'), time('p99', 'p99'), number('rows', 'rows'),
	{...number('errors', 'errors'), level: warnIf(s => s.errors)}, time('engine', 'engine', 'time inside the engine'),
	time('lock wait', 'lock_wait', 'for locks, and for a turn in the queue'), number('scan steps', 'full_scan_steps', 'rows read by full scans'),
	{title: 'last', num: true, by: s => s.last || '', get: s => s.last ? clock(s.last) : '–'}, number('running', 'running'),
];
let order = {column: statementColumns[2], down: true};
const showStatements = makeTable('statements', statementColumns, {
	key: statementKey, empty: 'No statistics: nothing has run, tracing.Config.Statements is 0, or page.Config.Tracer is not the one of the pools.', mark: s => statementKey(s) === chosen ? 'on' : '',
	sorter: c => {
		order = {column: c, down: order.column === c ? !order.down : c.num === true};
		render();
	},
});

const loud = new Set(['timeout', 'refuse', 'leak', 'dirty', 'busy', 'session', 'failing', 'file-lost', 'panic', 'time-limit', 'warning']);
const about = e => [e.health, e.reason, e.blocker && 'blocked by ' + e.blocker, e.holder && 'connection ' + e.holder, e.err && 'error ' + e.err,
	e.wait && 'waited ' + seconds(e.wait), e.place && 'place ' + e.place, e.commits && 'commits: ' + e.commits, e.background && 'background'].filter(Boolean).join(', ');
const showEvents = makeTable('events', [
	{title: 'time', get: e => clock(e.time)},
	{title: 'kind', head: true, get: e => e.kind},
	{title: 'connection', num: true, get: e => e.conn || '–'},
	{title: 'lane', get: e => e.lane || '–'},
	{title: 'duration', num: true, get: e => seconds(e.duration)},
	{title: 'about', wide: true, get: about},
	{title: 'trace', code: true, get: e => trace(e.trace) || '–'},
], {key: e => e.seq, empty: 'No events.', mark: e => loud.has(e.kind) || e.err ? 'warn' : ''});

const showSettings = makeTable('settings', [
	{title: 'setting', head: true, get: s => s.name},
	{title: 'value', wide: true, get: s => s.value},
	{title: 'default', get: s => s.default},
	{title: 'because', wide: true, get: s => s.why || ''},
], {key: s => s.name, empty: 'Not known.'});

// A chart has a line of values over time, drawn in a box of 300 by 90.
function makeChart(title, value, text, limit) {
	const now = node('span'), area = node(':path', {class: 'area'}), curve = node(':path', {class: 'curve'}), line = node(':path', {class: 'limit'});
	const svg = node(':svg', {viewBox: '0 0 300 90', preserveAspectRatio: 'none', role: 'img'}, area, node(':path', {class: 'axis', d: 'M0 89.500H300'}), line, curve);
	$('charts').append(node('figure', {}, node('figcaption', {}, title + ' ', now), svg));
	return list => {
		const values = list.map(value), last = values.at(-1) || 0, most = Math.max(0, ...values), top = limit && limit(list.at(-1)) || 0;
		const high = Math.max(most, top, 1e-9) * 1.1, y = v => (89 - 86 * v / high).toFixed(1);
		const wide = Math.max(values.length, 30) - 1; // a few points do not fill the box
		const d = values.map((v, i) => (300 - (values.length - 1 - i) * 300 / wide).toFixed(1) + ' ' + y(v));
		curve.setAttribute('d', d.length > 1 ? 'M' + d.join('L') : '');
		area.setAttribute('d', d.length > 1 ? 'M' + d[0].split(' ')[0] + ' 89L' + d.join('L') + 'L300 89Z' : '');
		line.setAttribute('d', top ? 'M0 ' + y(top) + 'H300' : '');
		const label = 'now ' + text(last) + ', most ' + text(most) + (top ? ', limit ' + text(top) : '');
		setText(now, label);
		svg.setAttribute('aria-label', title + ': ' + label);
	};
}

const charts = [
	makeChart('In use', h => h.inUse, count, h => h && h.max),
	makeChart('Waiting', h => h.waiting, count),
	makeChart('Acquires per second', h => h.rate, n => n.toFixed(n < 10 ? 1 : 0)),
	makeChart('WAL', h => h.wal, bytes, h => h && h.limit),
];

function remember() {
	const now = Date.parse(state.taken), ids = new Set();
	for (const p of state.pools) {
		ids.add(p.id);
		const list = history.get(p.id) || [], last = list.at(-1);
		if (last && last.at === now) continue;
		const rate = last && p.acquires >= last.acquires ? (p.acquires - last.acquires) * 1000 / (now - last.at) : 0;
		list.push({at: now, inUse: p.in_use, max: p.max, waiting: p.waiting || 0, acquires: p.acquires, rate, wal: p.wal, limit: p.wal_limit});
		if (list.length > points) list.shift();
		history.set(p.id, list);
	}
	for (const id of history.keys()) if (!ids.has(id)) history.delete(id);
}

// A histogram is a table with a bar in each row.
function makeHistogram(id, title) {
	const box = node('figure'), table = node('table', {id});
	box.append(node('figcaption', {}, title), node('div', {class: 'scroll'}, table));
	$('histograms').append(box);
	const show = makeTable(id, [
		{title: 'time', head: true, get: r => r.name},
		{title: 'count', num: true, get: r => count(r.n)},
		{title: 'share', get: r => ''},
	], {key: r => r.name, empty: 'none yet'});
	return b => {
		let from = 0, to = b.counts.length;
		while (to > 0 && !b.counts[to - 1]) to--;
		while (from < to && !b.counts[from]) from++;
		const all = b.counts.reduce((a, n) => a + n, 0);
		const rows = [];
		for (let i = from; i < to; i++) rows.push({name: i < b.below.length ? '< ' + seconds(b.below[i]) : '≥ ' + seconds(b.below.at(-1)), n: b.counts[i]});
		show(rows);
		[...table.tBodies[0].rows].forEach((tr, i) => {
			if (!rows[i]) return;
			const td = tr.cells[2], share = 100 * rows[i].n / all;
			let rect = td.querySelector('rect');
			if (!rect) {
				rect = node(':rect', {class: 'column', height: 10, y: 2});
				td.replaceChildren(node(':svg', {class: 'share', viewBox: '0 0 100 14', preserveAspectRatio: 'none', 'aria-hidden': 'true'}, rect));
			}
			rect.setAttribute('width', rows[i].n ? Math.max(1, share) : 0);
		});
	};
}

const histograms = {waits: makeHistogram('waits', 'Waits for a connection'), uses: makeHistogram('uses', 'Use of a connection')};

// render shows everything that is known.
function render() {
	if (!state) return;
	const find = $('find').value.toLowerCase();
	$('find-label').hidden = state.pools.length < 8;
	showPools(state.pools.filter(p => p.name.toLowerCase().includes(find)).sort((a, b) => urgency(b) - urgency(a)));
	more('pools', state.more_pools);
	const reasons = state.pools.flatMap(p => [...(p.reasons || []), ...(p.cycle ? ['callers wait for each other'] : [])].map(r => p.name + ': ' + r));
	const shown = reasons.slice(0, 20).concat(reasons.length > 20 ? ['and ' + (reasons.length - 20) + ' more'] : []);
	if (reasonsShown !== shown.join('\n')) $('reasons').replaceChildren(...shown.map(r => node('li', {}, r)));
	reasonsShown = shown.join('\n');
	showHolders(state.holders);
	more('holders', state.more_holders);
	showWaiters(state.waiters);
	more('waiters', state.more_waiters);
	const bad = state.pools.filter(p => urgency(p) > 1).length;
	document.title = (bad ? '(' + bad + '!) ' : '') + 'sqlitemw';
	const p = state.pools.find(p => p.id === selected);
	$('one').hidden = !p;
	if (p) {
		setText($('h-one'), p.name);
		charts.forEach(show => show(history.get(p.id) || []));
	}
	renderDetail();
	renderStatements();
	renderEvents();
}

function more(id, n) {
	setText($(id + '-more'), n ? 'and ' + count(n) + ' more' : '');
}

function renderDetail() {
	if (!detail || detail.id !== selected) return;
	histograms.waits(detail.waits);
	histograms.uses(detail.uses);
	showSettings(detail.settings || []);
	$('facts').replaceChildren(...detail.facts.flatMap(f => [node('dt', {}, f.name), node('dd', {}, f.unit === 's' ? seconds(f.value) : f.unit === 'bytes' ? bytes(f.value) : count(f.value))]));
}

function renderStatements() {
	if (!statements) return;
	const compare = (a, b) => a < b ? -1 : a > b ? 1 : 0;
	const list = [...statements.statements].sort((a, b) => (order.down ? -1 : 1) * compare(order.column.by(a), order.column.by(b)));
	for (const c of statementColumns) {
		if (c === order.column) c.node.setAttribute('aria-sort', order.down ? 'descending' : 'ascending');
		else c.node.removeAttribute('aria-sort');
	}
	showStatements(list);
	more('statements', statements.more);
	const s = list.find(s => statementKey(s) === chosen);
	$('statement').hidden = !s;
	if (!s) return;
	setText($('statement-title'), s.summary || 'Statement');
	setText($('statement-text'), s.text);
	const facts = [
		[s.system, s.database].filter(Boolean).join(', '),
		s.sorts && count(s.sorts) + ' sorts', s.auto_index_rows && count(s.auto_index_rows) + ' rows put into automatic indexes',
		...Object.entries(s.codes || {}).map(([code, n]) => 'error ' + code + ': ' + count(n)),
		...(plan.id === s.id ? plan.lines : []),
	].filter(Boolean);
	$('statement-facts').replaceChildren(...facts.map(f => node('li', {}, f)));
}

function renderEvents() {
	if (events.pool !== selected) return;
	const kinds = [...new Set(events.list.map(e => e.kind))].sort(), select = $('kind');
	for (const k of kinds) if (![...select.options].some(o => o.value === k)) select.append(node('option', {value: k}, k));
	const kind = select.value, match = $('match').value.toLowerCase();
	const list = events.list.filter(e => (!kind || e.kind === kind) && (!match || [e.kind, e.conn, e.lane, e.trace, about(e)].join(' ').toLowerCase().includes(match)));
	showEvents(list.slice(-200).reverse());
	const hidden = Math.max(0, list.length - 200);
	setText($('events-more'), [hidden && 'and ' + count(hidden) + ' older', events.missed && count(events.missed) + ' were not read'].filter(Boolean).join(', '));
}

function select(id) {
	selected = id;
	render();
	refresh();
}

let plan = {id: '', lines: []};

async function choose(s) {
	chosen = chosen === statementKey(s) ? null : statementKey(s);
	plan = {id: s.id, lines: []};
	render();
	if (!chosen || !s.id) return;
	let lines;
	try {
		const p = await get('plan.json', {id: s.id});
		lines = p ? [...p.findings, ...p.steps.map(l => 'plan: ' + l)] : ['no plan has been taken'];
	} catch (err) {
		lines = ['no plan: ' + err.message];
	}
	if (plan.id === s.id) plan.lines = lines;
	render();
}

// Reading. location.origin leaves out a user and password, with which fetch would fail.
async function get(file, params, optional) {
	const answer = await fetch(location.origin + location.pathname + '?' + new URLSearchParams({file, ...params}),
		{cache: 'no-store', credentials: 'same-origin', signal: AbortSignal.timeout(10000)});
	if (optional && answer.status === 404) return null;
	if (!answer.ok) throw new Error(answer.status === 403 ? 'access is refused (403)' : 'HTTP ' + answer.status);
	return answer.json();
}

async function read() {
	state = await get('state.json');
	if (!state.pools.some(p => p.id === selected)) {
		selected = ([...state.pools].sort((a, b) => urgency(b) - urgency(a))[0] || {id: ''}).id;
	}
	remember();
	const id = selected;
	if (events.pool !== id) events = {pool: id, last: 0, list: [], missed: 0};
	const [d, e, s] = await Promise.all([
		id && get('pool.json', {pool: id}, true), id && get('events.json', {pool: id, after: events.last}, true), get('statements.json'),
	]);
	detail = d;
	statements = s;
	if (!e || events.pool !== id) return;
	if (e.last < events.last) events = {pool: id, last: 0, list: [], missed: 0}; // the pool is another one
	events.missed += events.last ? e.missed : 0;
	events.last = e.last;
	events.list = events.list.concat(e.events).slice(-1000);
}

let timer = 0, reading = false, again = false, paused = false, failed = '';

// refresh reads and shows everything, and then waits for the interval. A hidden tab waits until it
// is visible.
async function refresh() {
	clearTimeout(timer);
	if (reading) {
		again = true;
		return;
	}
	if (document.hidden) return setStatus();
	reading = true;
	do {
		again = false;
		try {
			await read();
			failed = '';
		} catch (err) {
			failed = err.name === 'TypeError' ? 'the program does not answer' : err.name === 'SyntaxError' ? 'the answer is not JSON' : err.message;
		}
		render();
	} while (again && !failed);
	reading = false;
	setStatus();
	if (!paused && !document.hidden) timer = setTimeout(refresh, 1000 * Number($('interval').value));
}

function setStatus() {
	$('status').className = failed ? 'bad' : '';
	setText($('status'), failed ? 'failed: ' + failed : paused ? 'paused' : 'live');
	setText($('at'), state ? 'read at ' + clock(state.taken) : '');
}

$('pause').onclick = () => {
	paused = !paused;
	$('pause').setAttribute('aria-pressed', paused);
	setText($('pause'), paused ? 'Continue' : 'Pause');
	clearTimeout(timer);
	setStatus();
	if (!paused) refresh();
};
$('interval').onchange = () => paused || refresh();
$('find').oninput = $('kind').onchange = $('match').oninput = render;
$('controls').onsubmit = e => e.preventDefault();
document.addEventListener('visibilitychange', () => {
	clearTimeout(timer);
	if (!document.hidden && !paused) refresh();
});
refresh();
