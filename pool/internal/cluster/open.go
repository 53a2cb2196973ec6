package cluster

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/sqlitemw/sqlitemw/driver/wrap"
	"github.com/sqlitemw/sqlitemw/pool/core"
	"github.com/sqlitemw/sqlitemw/tracing"
	"github.com/sqlitemw/sqlitemw/tracing/instrument"
)

// Open opens a pool, with Config.MinConns connections to the primary. ctx limits only Open. It fails
// with [core.ErrInvalidConfig], with [ErrNoPrimary] or [ErrTwoPrimaries], or with the error of
// opening a connection. After an error, nothing is left open.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	if err := cfg.resolve(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("pool: open: %w", err)
	}
	p := newPool(cfg)
	opened := false
	defer func() { // also if a function of the program panics
		if !opened {
			p.abandon()
		}
	}()
	p.roster.start()
	for range p.cfg.MinConns {
		c, err := p.writers.Dial(ctx, nil)
		if err != nil {
			return nil, err
		}
		p.writers.Push(c)
	}
	if err := p.HealthCheck(ctx); err != nil {
		return nil, err
	}
	opened = true
	p.core.Start(ctx)
	p.logOpen(ctx)
	return p, nil
}

// newPool returns a pool that has opened nothing.
func newPool(cfg Config) *Pool {
	p := &Pool{cfg: cfg}
	if cfg.Name == "" {
		p.name = instrument.TakePoolName(cmp.Or(cfg.Namespace, cfg.Kind))
	} else {
		p.name = instrument.SharePoolName(cfg.Name)
	}
	most := cfg.MaxConns
	if cfg.Readers != NoReaders {
		most += cfg.MaxReaders
	}
	p.core = core.New(engine{p}, core.Config{
		Name:           p.name.String(),
		MaxConns:       most,
		MaxWaiters:     cfg.MaxWaiters,
		AcquireTimeout: cfg.AcquireTimeout,
		MaxLifetime:    cfg.MaxLifetime,
		LifetimeJitter: lifetimeJitter,
		IdleTimeout:    cfg.IdleTimeout,
		LeakAfter:      cfg.LeakAfter,
		Failures:       failureKinds,
		TrackStacks:    cfg.TrackStacks,
		Events:         cfg.Events,
		Logger:         cfg.Logger,
		Recorder:       cfg.Recorder,
	})
	p.guard = p.core.Guard()
	p.replace = p.guard.NewJob("closing connections that must be replaced")
	p.replay = newReplay(p)
	p.begin = p.query("BEGIN")
	p.opener = p.newOpener()
	servers := make([]*server, len(cfg.Servers))
	for i, s := range cfg.Servers {
		servers[i] = &server{
			Server: s,
			guard:  p.guard,
			job:    p.guard.NewJob(fmt.Sprintf("asking %q for its role", s.Name)),
			role:   cfg.Role,
			kick:   make(chan struct{}, 1),
		}
	}
	p.roster = newRoster(servers, &p.cfg, p.describe, p.changed)
	p.addLanes()
	p.stopMetrics = []func(){
		p.opener.Limits(func() instrument.PoolLimits {
			return instrument.PoolLimits{Max: p.core.MaxConns(), IdleMin: cfg.MinConns, IdleMax: p.core.MaxConns()}
		}),
	}
	return p
}

// newOpener returns the opener of the pool's connections.
func (p *Pool) newOpener() *wrap.Opener {
	return wrap.NewOpener(wrap.Config{
		Source:       tracing.Source{System: p.cfg.System, Namespace: p.cfg.Namespace, Pool: p.name.String(), Classify: p.cfg.Classify},
		Tracing:      p.cfg.Tracing,
		Recorder:     p.core.Recorder(),
		Interceptors: p.cfg.Interceptors,
		Describe:     p.dialing.takeServer,
		Broken:       p.cfg.Broken,
		Once:         p.cfg.Once,
	})
}

func (p *Pool) addLanes() {
	cfg := &p.cfg
	p.writers = p.core.AddLane(core.LaneConfig{
		Name:   wrap.LaneWriter,
		Source: &dialer{pool: p},
		Turns:  cfg.MaxConns,
		Keep:   func() int { return cfg.MinConns },
		Most:   func() int { return cfg.MaxConns },
	})
	if cfg.Readers == NoReaders {
		return
	}
	p.readers = p.core.AddLane(core.LaneConfig{
		Name:   wrap.LaneReader,
		Reads:  true,
		Limit:  "Config.MaxReaders",
		Source: &dialer{pool: p, standby: cfg.Readers == OnStandbys},
		Turns:  cfg.MaxReaders,
		Keep:   func() int { return 0 },
		Most:   func() int { return cfg.MaxReaders },
	})
}

// abandon closes everything that a failed Open has opened.
func (p *Pool) abandon() {
	p.stop(context.Background())
	p.core.Abandon(func() {
		p.endMetrics()
		p.name.Release()
	})
}

// logOpen writes the log line of an opened pool.
func (p *Pool) logOpen(ctx context.Context) {
	primary, standbys := p.roster.roles()
	p.core.Logger().LogAttrs(ctx, slog.LevelInfo, "pool: open", slog.String("primary", listed(primary)), slog.String("standbys", listed(standbys)),
		slog.Int("max", p.cfg.MaxConns), slog.Int("min", p.cfg.MinConns), slog.Int("servers", len(p.cfg.Servers)))
}
