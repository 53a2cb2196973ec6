// Package browser has only tests. They open the page of pool/page in Chromium, and check what a
// viewer sees: a held connection and a queue, sorting, pause, a hidden tab, the dark colours, a
// narrow window, hostile names. They check that nothing violates the page's policy, that
// axe-core finds no fault in it, and that it works wherever it is mounted.
//
// The tests are skipped if there is no chromium. With SQLITEMW_BROWSER=1 they fail then.
//
// With -picture, TestPicture writes page.png, which README shows.
package browser
