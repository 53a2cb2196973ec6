package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// The workloads of github.com/cvilsmeier/go-sqlite-bench, rewritten from their description.
// They use this program's settings, not those of that suite.

var suiteSchema = []string{
	"CREATE TABLE users(id INTEGER PRIMARY KEY NOT NULL, created INTEGER NOT NULL, email TEXT NOT NULL, active INTEGER NOT NULL)",
	"CREATE INDEX users_created ON users(created)",
	`CREATE TABLE articles(id INTEGER PRIMARY KEY NOT NULL, created INTEGER NOT NULL,
		userId INTEGER NOT NULL REFERENCES users(id), text TEXT NOT NULL)`,
	"CREATE INDEX articles_created ON articles(created)",
	"CREATE INDEX articles_userId ON articles(userId)",
	`CREATE TABLE comments(id INTEGER PRIMARY KEY NOT NULL, created INTEGER NOT NULL,
		articleId INTEGER NOT NULL REFERENCES articles(id), text TEXT NOT NULL)`,
	"CREATE INDEX comments_created ON comments(created)",
	"CREATE INDEX comments_articleId ON comments(articleId)",
}

const (
	insertUser    = "INSERT INTO users(id, created, email, active) VALUES (?, ?, ?, ?)"
	insertArticle = "INSERT INTO articles(id, created, userId, text) VALUES (?, ?, ?, ?)"
	insertComment = "INSERT INTO comments(id, created, articleId, text) VALUES (?, ?, ?, ?)"
	selectUsers   = "SELECT id, created, email, active FROM users ORDER BY id"
	articleText   = "What there is to say about it takes a line or two, and sometimes a third."
	commentText   = "I have something to add."
)

// A tree is a number of users, of articles per user, and of comments per article.
type tree struct{ users, articles, comments int64 }

func (t tree) rows() int64 { return t.users * t.articles * t.comments }

// seed fills the tables.
func (t tree) seed() []string {
	fill := func(n int64, insert string) string {
		return fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) %s FROM n", n, insert)
	}
	list := append([]string{}, suiteSchema...)
	list = append(list, fill(t.users, "INSERT INTO users SELECT i, i, 'user' || i || '@example.com', 1"))
	if t.articles == 0 {
		return list
	}
	return append(list,
		fill(t.users*t.articles, fmt.Sprintf("INSERT INTO articles SELECT i, i, (i - 1) / %d + 1, '%s'", t.articles, articleText)),
		fill(t.rows(), fmt.Sprintf("INSERT INTO comments SELECT i, i, (i - 1) / %d + 1, '%s'", t.comments, commentText)))
}

func users(n int64) tree { return tree{users: n} }

func simpleTree(s Size) tree  { return users(pick[int64](s, 50, 10_000, 1_000_000)) }
func realTree(s Size) tree    { return pick(s, tree{2, 2, 2}, tree{10, 20, 20}, tree{100, 20, 20}) }
func complexTree(s Size) tree { return pick(s, tree{2, 3, 2}, tree{20, 50, 5}, tree{200, 100, 20}) }

func suiteWorkloads() []*Workload {
	one := Options{Synchronous: "normal", Conns: 1}
	empty := func(Size) []string { return suiteSchema }
	list := []*Workload{
		{
			Name: "simple-insert", What: "a new database opened, a million users inserted in one transaction, closed",
			Options: one, Seed: empty,
			Start: func(_ context.Context, e *Env) (*Run, error) { return startBuild(e, simpleTree(e.Size), insertLevels) },
		},
		{
			Name: "simple-query", What: "a million users read",
			Options: one, Seed: func(s Size) []string { return simpleTree(s).seed() },
			Start: func(ctx context.Context, e *Env) (*Run, error) {
				return startReadUsers(ctx, e, simpleTree(e.Size).users, 1)
			},
		},
		{
			Name: "real-insert", What: "a new database opened, 100 users with 20 articles each and 20 comments on each inserted, a transaction for each user, closed",
			Options: one, Seed: empty,
			Start: func(_ context.Context, e *Env) (*Run, error) { return startBuild(e, realTree(e.Size), insertByUser) },
		},
		{
			Name: "real-query", What: "each of 100 users looked up by email, with articles and comments left-joined",
			Options: one, Seed: func(s Size) []string { return realTree(s).seed() },
			Start: startRealQuery,
		},
		{
			Name: "complex-insert", What: "a new database opened, 200 users, 20,000 articles and 400,000 comments inserted in a transaction for each table, closed",
			Options: one, Seed: empty,
			Start: func(_ context.Context, e *Env) (*Run, error) { return startBuild(e, complexTree(e.Size), insertLevels) },
		},
		{
			Name: "complex-query", What: "all 200 users, 20,000 articles and 400,000 comments read by one join",
			Options: one, Seed: func(s Size) []string { return complexTree(s).seed() },
			Start: startComplexQuery,
		},
	}
	for _, w := range list[:len(list):len(list)] {
		if strings.HasSuffix(w.Name, "-insert") {
			list = append(list, w.atFull())
		}
	}
	for _, n := range []int64{10, 100, 1000} {
		list = append(list, &Workload{
			Name: fmt.Sprintf("many-%d", n), What: fmt.Sprintf("all %d users read, again and again", n),
			Options: one, Seed: func(Size) []string { return users(n).seed() },
			Start: func(ctx context.Context, e *Env) (*Run, error) { return startReadUsers(ctx, e, n, 1) },
		})
	}
	for _, n := range []int64{50_000, 100_000, 200_000} {
		rows := func(s Size) int64 { return pick[int64](s, 3, 100, 1000) }
		list = append(list, &Workload{
			Name: fmt.Sprintf("large-%dk", n/1000), What: fmt.Sprintf("1000 users of %d bytes each read (a tenth of that suite's rows)", n),
			Options: one, Seed: func(s Size) []string {
				return append(users(rows(s)).seed(), fmt.Sprintf("UPDATE users SET email = replace(hex(zeroblob(%d)), '0', 'a')", n/2))
			},
			Start: func(ctx context.Context, e *Env) (*Run, error) { return startReadLarge(ctx, e, rows(e.Size), n) },
		})
	}
	for _, n := range []int{2, 4, 8} {
		rows := func(s Size) int64 { return pick[int64](s, 50, 10_000, 200_000) }
		list = append(list, &Workload{
			Name: fmt.Sprintf("concurrent-%d", n), What: fmt.Sprintf("200,000 users read by each of %d goroutines (a fifth of that suite's rows)", n),
			Options: Options{Synchronous: "normal", Conns: n}, Seed: func(s Size) []string { return users(rows(s)).seed() },
			Start: func(ctx context.Context, e *Env) (*Run, error) { return startReadUsers(ctx, e, rows(e.Size), n) },
		})
	}
	return list
}

// readUsers reads all users once.
func readUsers(ctx context.Context, db Database, want int64) error {
	var id, created, active, rows int64
	var email string
	err := db.Rows(ctx, selectUsers, []any{&id, &created, &email, &active}, func() { rows++ })
	if err != nil {
		return err
	}
	if last := fmt.Sprintf("user%d@example.com", want); rows != want || email != last {
		return fmt.Errorf("verify: %d users to %s, want %d to %s", rows, email, want, last)
	}
	return nil
}

// startReadUsers makes an operation that reads all users on each of n goroutines.
func startReadUsers(ctx context.Context, e *Env, want int64, n int) (*Run, error) {
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	op := func(ctx context.Context) error { return readUsers(ctx, db, want) }
	if n > 1 {
		one := op
		op = func(ctx context.Context) error { return together(n, func(int) error { return one(ctx) }) }
	}
	return &Run{Op: op, Close: db.Close}, nil
}

// together runs f n times concurrently, and waits for all.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func startReadLarge(ctx context.Context, e *Env, want, size int64) (*Run, error) {
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	var id, created, active, rows, bytes int64
	var content string
	dest := []any{&id, &created, &content, &active}
	each := func() { rows++; bytes += int64(len(content)) }
	return &Run{
		Op: func(ctx context.Context) error {
			rows, bytes = 0, 0
			if err := db.Rows(ctx, selectUsers, dest, each); err != nil {
				return err
			}
			if rows != want || bytes != want*size {
				return fmt.Errorf("verify: %d users of %d bytes, want %d of %d", rows, bytes, want, want*size)
			}
			return nil
		},
		Close: db.Close,
	}, nil
}

func startRealQuery(ctx context.Context, e *Env) (*Run, error) {
	const query = `SELECT u.id, u.email, a.id, a.text, c.id, c.text FROM users u
		LEFT JOIN articles a ON a.userId = u.id LEFT JOIN comments c ON c.articleId = a.id
		WHERE u.email = ? ORDER BY u.id, a.id, c.id`
	t := realTree(e.Size)
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	var user, article, comment, rows int64
	var email, text, remark string
	dest := []any{&user, &email, &article, &text, &comment, &remark}
	each := func() { rows++ }
	return &Run{
		Op: func(ctx context.Context) error {
			for i := range t.users {
				rows = 0
				if err := db.Rows(ctx, query, dest, each, fmt.Sprintf("user%d@example.com", i+1)); err != nil {
					return err
				}
				if rows != t.articles*t.comments || user != i+1 || remark != commentText {
					return fmt.Errorf("verify: %d rows of user %d, want %d of %d", rows, user, t.articles*t.comments, i+1)
				}
			}
			return nil
		},
		Close: db.Close,
	}, nil
}

func startComplexQuery(ctx context.Context, e *Env) (*Run, error) {
	const query = `SELECT u.id, u.created, u.email, u.active, a.id, a.created, a.text, c.id, c.created, c.text
		FROM users u LEFT JOIN articles a ON a.userId = u.id LEFT JOIN comments c ON c.articleId = a.id
		ORDER BY u.created, a.created, c.created`
	t := complexTree(e.Size)
	db, err := e.Open(ctx)
	if err != nil {
		return nil, err
	}
	var ids [3]int64
	var created [3]int64
	var active, rows int64
	var texts [3]string
	dest := []any{&ids[0], &created[0], &texts[0], &active, &ids[1], &created[1], &texts[1], &ids[2], &created[2], &texts[2]}
	each := func() { rows++ }
	return &Run{
		Op: func(ctx context.Context) error {
			rows = 0
			if err := db.Rows(ctx, query, dest, each); err != nil {
				return err
			}
			if rows != t.rows() || ids[2] != t.rows() {
				return fmt.Errorf("verify: %d rows to comment %d, want %d", rows, ids[2], t.rows())
			}
			return nil
		},
		Close: db.Close,
	}, nil
}
