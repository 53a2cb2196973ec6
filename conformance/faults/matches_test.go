//go:build unix

package faults

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// noticeLimit is how long a loss may remain unnoticed. A connection checks its file once a
// second, and so do the health checks of the games' pools. The rest is for a slow machine. The
// time for which the process was not scheduled is added.
const noticeLimit = 3 * time.Second

// goesOnLimit is how long a process may take to continue once no obstacle is left. No call
// waits for longer than its timeout.
const goesOnLimit = 4 * callLimit

// gameVar is the environment variable with a regular expression of the matches to play, in any
// mode.
const gameVar = "SQLITEMW_FAULTS_GAME"

// A match is a game in a mode, with the library of another process.
type match struct {
	game
	mode    string
	library string
	killed  bool // the player is killed instead of closing
}

func (m match) String() string {
	name := m.name
	if m.library != "" {
		name += " (" + m.library + ")"
	}
	name = strings.ReplaceAll(name, " ", "_") + "/" + m.mode
	if m.killed {
		name += ",_killed"
	}
	return name
}

// someModes returns the modes of the ith game: all of them if the campaign has a given length,
// and otherwise as many as there is time for. The modes alternate between games.
func someModes(modes []string, i int) []string {
	if os.Getenv(lengthVar) != "" || os.Getenv(gameVar) != "" {
		return modes
	}
	rest := slices.DeleteFunc(slices.Clone(modes), func(m string) bool { return m == "driver" || m == "pool" })
	turn := rest[i%len(rest)]
	if !testing.Short() {
		return []string{"driver", "pool", turn}
	}
	return []string{[]string{"driver", "pool", turn}[i%3]}
}

// matchesToPlay returns the matches that there is time for, or those that gameVar selects.
func matchesToPlay(t testing.TB) []match {
	all := games()
	for i := range all {
		all[i].modes = someModes(all[i].modes, i)
	}
	matches := matchesOf(all, libraries(t))
	want := os.Getenv(gameVar)
	if want == "" {
		return matches
	}
	re, err := regexp.Compile(want)
	if err != nil {
		t.Fatalf("%s: %v", gameVar, err)
	}
	return slices.DeleteFunc(matches, func(m match) bool { return !re.MatchString(m.String()) })
}

// matchesOf returns all matches of the games.
func matchesOf(all []game, libraries []string) (ms []match) {
	for _, g := range all {
		for _, mode := range g.modes {
			if !g.library {
				ms = append(ms, match{game: g, mode: mode})
				continue
			}
			for _, library := range libraries {
				ms = append(ms, match{game: g, mode: mode, library: library})
			}
		}
	}
	return ms
}
