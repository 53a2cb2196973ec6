//go:build unix

package faults

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// An expectation is the required outcome of a game for the database.
type expectation int

const (
	// expectLost: the process notices the loss soon. From then on, every call reports it.
	expectLost expectation = iota
	// expectSick: SQLite may notice the damage by itself, with any error. Nothing that is
	// lost is acknowledged.
	expectSick
	// expectEither: the database may be lost, or continue to work.
	expectEither
	// expectKept: the database continues to work, and no call reports a loss.
	expectKept
)

// A game is something that is done to a database's files while a process uses them.
type game struct {
	name        string
	expect      expectation
	modes       []string
	destroys    bool // destroys what was acknowledged before
	crashes     bool // may crash the process, because a mapping has lost its file
	asNobody    bool // the process has only the rights that the files' modes give to others
	linked      bool // the directory is reached through a symbolic link
	library     bool // another process takes part, once for each library
	halvesIndex bool // the index of the WAL loses its second half, in which it finds pages
	act         func(*table) (undo func(), err error)
}

var (
	// walModes use the database in WAL mode.
	walModes    = []string{"driver", "driver-idle", "pool-dsn", "pool", "pool-backup", "pool-idle", "pool-reset", "pool-held", "manager", "shared"}
	deleteModes = []string{"driver-delete", "pool-delete"}
	allModes    = append(slices.Clone(deleteModes), walModes...)
	// besideModes do not hold a lock permanently.
	besideModes = []string{"driver", "driver-delete", "driver-idle", "pool-dsn", "pool", "pool-backup", "pool-reset", "pool-delete", "manager", "shared"}
)

// games returns every game.
func games() (all []game) {
	for _, ending := range []string{"", "-wal", "-shm"} {
		modes := walModes
		if ending == "" {
			modes = allModes
		}
		add := func(g game) {
			g.name += " db" + ending
			if g.modes == nil {
				g.modes = modes
			}
			all = append(all, g)
		}
		data := ending != "-shm"
		add(game{name: "remove", act: func(tb *table) (func(), error) {
			tb.staysAway(tb.path + ending)
			return nil, os.Remove(tb.path + ending)
		}})
		add(game{name: "replace", act: func(tb *table) (func(), error) {
			return nil, tb.replace(tb.path+ending, tb.spare("spare.db"+ending))
		}})
		empty := game{name: "empty", expect: expectSick, destroys: data, crashes: !data, act: func(tb *table) (func(), error) {
			return nil, os.Truncate(tb.path+ending, 0)
		}}
		if ending == "" {
			// Without a WAL, a commit in progress may extend the file again, and
			// the contents are then corrupt.
			empty.modes = deleteModes
			add(empty)
			empty.expect, empty.modes = expectLost, walModes
		}
		add(empty)
		add(game{name: "halve", expect: expectSick, destroys: data, crashes: !data, halvesIndex: !data, act: func(tb *table) (func(), error) {
			info, err := os.Stat(tb.path + ending)
			if err != nil {
				return nil, err
			}
			return nil, os.Truncate(tb.path+ending, info.Size()/2)
		}})
		add(game{name: "symbolic link to another in place of", act: func(tb *table) (func(), error) {
			other := tb.spare("linked.db" + ending)
			tb.staysSame(other)
			link := tb.path + ".link"
			if err := os.Symlink(other, link); err != nil {
				return nil, err
			}
			return nil, os.Rename(link, tb.path+ending)
		}})
		add(game{name: "hard link to another in place of", act: func(tb *table) (func(), error) {
			other := tb.spare("linked.db" + ending)
			tb.staysSame(other)
			link := tb.path + ".link"
			if err := os.Link(other, link); err != nil {
				return nil, err
			}
			return nil, tb.replace(tb.path+ending, link)
		}})
	}
	all = append(all, gamesOfNames()...)
	all = append(all, gamesOfRights()...)
	return append(all, gamesOfOthers()...)
}

// gamesOfNames change the names by which the database is reached.
func gamesOfNames() []game {
	return []game{
		{name: "replace db and db-wal", modes: walModes, act: func(tb *table) (func(), error) {
			db, wal := tb.spare("pair.db"), tb.spare("pair.db-wal")
			if err := tb.replace(tb.path+"-wal", wal); err != nil {
				return nil, err
			}
			return nil, tb.replace(tb.path, db)
		}},
		{name: "move db and link to it", expect: expectEither, modes: walModes, act: func(tb *table) (func(), error) {
			moved := filepath.Join(tb.dirOf("moved"), "moved.db")
			tb.staysAway(moved+"-wal", moved+"-shm", moved+"-journal")
			if err := os.Rename(tb.path, moved); err != nil {
				return nil, err
			}
			return nil, os.Symlink(moved, tb.path)
		}},
		{name: "move db away", modes: walModes, act: func(tb *table) (func(), error) {
			tb.staysAway(tb.path)
			return nil, os.Rename(tb.path, filepath.Join(tb.dirOf("moved"), "moved.db"))
		}},
		{name: "move db away and another in place of it", modes: walModes, act: func(tb *table) (func(), error) {
			if err := os.Rename(tb.path, filepath.Join(tb.dirOf("moved"), "moved.db")); err != nil {
				return nil, err
			}
			return nil, tb.replace(tb.path, tb.spare("spare.db"))
		}},
		{name: "move db away and back", expect: expectEither, modes: walModes, act: func(tb *table) (func(), error) {
			away := filepath.Join(tb.dirOf("moved"), "away.db")
			if err := os.Rename(tb.path, away); err != nil {
				return nil, err
			}
			time.Sleep(150 * time.Millisecond) // part of the time within which it may be noticed
			err := os.Link(away, tb.path)      // a link, because unlike a rename it replaces nothing
			if errors.Is(err, fs.ErrExist) {
				tb.Errorf("(c) another file was created while the first was away")
				return nil, nil
			}
			return nil, errors.Join(err, os.Remove(away))
		}},
		{name: "rename the directory", modes: walModes, act: func(tb *table) (func(), error) {
			dir := filepath.Dir(tb.path)
			tb.staysAway(dir)
			return nil, os.Rename(dir, filepath.Join(tb.base, "renamed"))
		}},
		{name: "another directory in place of", modes: walModes, act: func(tb *table) (func(), error) {
			dir := filepath.Dir(tb.path)
			other := filepath.Join(tb.dirOf("another"), "app.db")
			if err := os.Rename(tb.spare("spare.db"), other); err != nil {
				return nil, err
			}
			if err := os.Rename(dir, filepath.Join(tb.base, "renamed")); err != nil {
				return nil, err
			}
			if err := os.Rename(filepath.Dir(other), dir); err != nil {
				return nil, err
			}
			tb.staysSame(tb.path)
			tb.staysAway(tb.path + "-wal")
			return nil, nil
		}},
		{name: "remove the directory", modes: walModes, act: func(tb *table) (func(), error) {
			dir := filepath.Dir(tb.path)
			tb.staysAway(dir)
			return nil, os.RemoveAll(dir)
		}},
		{name: "switch the linked directory to another", linked: true, modes: walModes, act: func(tb *table) (func(), error) {
			other := filepath.Join(tb.dirOf("another"), "app.db")
			if err := os.Rename(tb.spare("spare.db"), other); err != nil {
				return nil, err
			}
			tb.staysSame(other)
			tb.staysAway(other + "-wal")
			return nil, tb.relink(filepath.Dir(other))
		}},
		{name: "switch the linked directory to an empty one", linked: true, modes: walModes, act: func(tb *table) (func(), error) {
			dir := tb.dirOf("another")
			tb.staysAway(filepath.Join(dir, "app.db"), filepath.Join(dir, "app.db-wal"), filepath.Join(dir, "app.db-shm"))
			return nil, tb.relink(dir)
		}},
	}
}

// gamesOfRights change permissions. They replace no file.
func gamesOfRights() (all []game) {
	modes := []string{"driver", "driver-idle", "pool-dsn", "pool", "pool-backup", "pool-idle", "pool-reset", "pool-held", "manager", "shared"}
	chmod := func(name func(*table) string, mode os.FileMode) func(*table) (func(), error) {
		return func(tb *table) (func(), error) {
			info, err := os.Stat(name(tb))
			if err != nil {
				return nil, err
			}
			return func() { os.Chmod(name(tb), info.Mode()) }, os.Chmod(name(tb), mode)
		}
	}
	for _, ending := range []string{"", "-wal", "-shm"} {
		file := func(tb *table) string { return tb.path + ending }
		all = append(all,
			game{name: "chmod 000 db" + ending, expect: expectKept, asNobody: true, modes: modes, act: chmod(file, 0)},
			game{name: "chmod 444 db" + ending, expect: expectKept, asNobody: true, modes: modes, act: chmod(file, 0o444)})
	}
	dir := func(tb *table) string { return filepath.Dir(tb.path) }
	return append(all,
		game{name: "chmod 000 the directory", expect: expectKept, asNobody: true, modes: modes, act: chmod(dir, 0)},
		game{name: "chmod 555 the directory", expect: expectKept, asNobody: true, modes: modes, act: chmod(dir, 0o555)})
}

// gamesOfOthers are played by another process that also has the database open.
func gamesOfOthers() []game {
	beside := func(name string, act func(*table) (func(), error)) game {
		return game{name: name, expect: expectKept, library: true, modes: besideModes, act: act}
	}
	return []game{
		beside("VACUUM", func(tb *table) (func(), error) {
			tb.other.try("CREATE TABLE big(a); INSERT INTO big SELECT randomblob(200000) FROM t LIMIT 10")
			tb.other.try("DROP TABLE big")
			tb.other.try("VACUUM")
			tb.other.try("PRAGMA wal_checkpoint(TRUNCATE)")
			return nil, nil
		}),
		beside("change the journal mode", func(tb *table) (func(), error) {
			tb.other.try("PRAGMA journal_mode=DELETE")
			tb.other.try("PRAGMA journal_mode=WAL")
			return nil, nil
		}),
		beside("lock EXCLUSIVE", func(tb *table) (func(), error) {
			if _, err := tb.other.do("BEGIN EXCLUSIVE"); err != nil {
				return nil, err
			}
			return tb.commitOther(false)
		}),
		beside("stop a process that writes", func(tb *table) (func(), error) {
			if _, err := tb.other.do("BEGIN IMMEDIATE"); err != nil {
				return nil, err
			}
			return tb.commitOther(true)
		}),
		beside("stop a process that reads", func(tb *table) (func(), error) {
			tb.other.try("BEGIN")
			tb.other.try("SELECT count(*) FROM t")
			return func() {
				tb.other.resume()
				tb.other.try("COMMIT")
			}, tb.other.pause()
		}),
		beside("stop a process anywhere", func(tb *table) (func(), error) {
			s := siblingOf(tb.other)
			for range 20 {
				time.Sleep(10 * time.Millisecond) // it writes for a while
				if err := tb.other.pause(); err != nil {
					return nil, err
				}
				time.Sleep(40 * time.Millisecond) // it is stopped
				if err := tb.other.resume(); err != nil {
					return nil, err
				}
			}
			return func() {
				s.halt()
				tb.others = s.acked()
			}, nil
		}),
	}
}
