package main

import (
	"context"
	"errors"
	"fmt"
)

// startBuild makes an operation that fills a fresh database, including opening and closing it.
func startBuild(e *Env, t tree, fill func(context.Context, Database, tree) error) (*Run, error) {
	return &Run{
		Op: func(ctx context.Context) error {
			if err := e.Renew(); err != nil {
				return err
			}
			db, err := e.Open(ctx)
			if err != nil {
				return err
			}
			return errors.Join(fill(ctx, db, t), db.Close())
		},
		// Check the last database only, because each replaces the previous one.
		Check: func(int64) error {
			if err := e.Expect("SELECT count(*) FROM users WHERE email = 'user' || id || '@example.com'", t.users); err != nil {
				return err
			}
			return e.Expect("SELECT count(*) FROM comments", t.rows())
		},
	}, nil
}

// insertLevels inserts all users, then all articles, then all comments, each level in a
// transaction and with a prepared statement.
func insertLevels(ctx context.Context, db Database, t tree) error {
	err := insertMany(ctx, db, insertUser, t.users, func(i int64) []any {
		return []any{i, i, fmt.Sprintf("user%d@example.com", i), int64(1)}
	})
	if err != nil || t.articles == 0 {
		return err
	}
	err = insertMany(ctx, db, insertArticle, t.users*t.articles, func(i int64) []any {
		return []any{i, i, (i-1)/t.articles + 1, articleText}
	})
	if err != nil {
		return err
	}
	return insertMany(ctx, db, insertComment, t.rows(), func(i int64) []any {
		return []any{i, i, (i-1)/t.comments + 1, commentText}
	})
}

func insertMany(ctx context.Context, db Database, query string, n int64, row func(int64) []any) error {
	return db.Transact(ctx, func(q Queryer) (err error) {
		s, err := q.Prepare(ctx, query)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		for i := range n {
			if err := s.Exec(ctx, row(i+1)...); err != nil {
				return err
			}
		}
		return nil
	})
}

// insertByUser inserts each user with all articles and comments in one transaction, without
// preparing.
func insertByUser(ctx context.Context, db Database, t tree) error {
	for u := range t.users {
		err := db.Transact(ctx, func(q Queryer) error {
			if err := q.Exec(ctx, insertUser, u+1, u+1, fmt.Sprintf("user%d@example.com", u+1), int64(1)); err != nil {
				return err
			}
			for a := u*t.articles + 1; a <= (u+1)*t.articles; a++ {
				if err := q.Exec(ctx, insertArticle, a, a, u+1, articleText); err != nil {
					return err
				}
				for c := (a-1)*t.comments + 1; c <= a*t.comments; c++ {
					if err := q.Exec(ctx, insertComment, c, c, a, commentText); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
