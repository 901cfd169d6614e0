-- Version 1 of the state file. Identity and what readers ask for are typed columns, so that the
-- file can be read with nothing but SQLite; whatever else a value has is JSON in its payload.
-- A value is kept once: in its column, or, where a column cannot hold it exactly, in the payload.

PRAGMA application_id = 1397310539;  -- "SIDK"

-- How a run was started and how it stands. Payload: settings, risk profiles.
CREATE TABLE instance (
    mode TEXT NOT NULL, exchange TEXT NOT NULL, strategy TEXT NOT NULL,
    symbol TEXT NOT NULL, frame TEXT NOT NULL,
    status TEXT, session INTEGER, started_at INTEGER,
    strategy_file TEXT, strategy_hash TEXT, error TEXT,
    payload TEXT NOT NULL,
    PRIMARY KEY (mode, exchange, strategy, symbol, frame)
) STRICT;

-- What a run holds: no row, a scheduled signal, or a position with its milestones.
CREATE TABLE held (
    mode TEXT NOT NULL, exchange TEXT NOT NULL, strategy TEXT NOT NULL,
    symbol TEXT NOT NULL, frame TEXT NOT NULL,
    kind TEXT NOT NULL,  -- scheduled | position
    signal_id TEXT, position TEXT,
    price_open REAL, price_take_profit REAL, price_stop_loss REAL,
    minutes INTEGER, scheduled_at INTEGER, pending_at INTEGER,
    profit_level INTEGER, loss_level INTEGER,
    payload TEXT NOT NULL,
    PRIMARY KEY (mode, exchange, strategy, symbol, frame)
) STRICT;

-- Where a run is in time (ms UTC). Journal numbers above journal_from are of its present session.
CREATE TABLE progress (
    mode TEXT NOT NULL, exchange TEXT NOT NULL, strategy TEXT NOT NULL,
    symbol TEXT NOT NULL, frame TEXT NOT NULL,
    last_attempt INTEGER, settled_until INTEGER,
    journal_from INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (mode, exchange, strategy, symbol, frame)
) STRICT;

-- Slots taken in risk profiles.
CREATE TABLE reservation (
    risk TEXT NOT NULL,
    mode TEXT NOT NULL, exchange TEXT NOT NULL, strategy TEXT NOT NULL,
    symbol TEXT NOT NULL, frame TEXT NOT NULL,
    signal_id TEXT, position TEXT,
    price_open REAL, price_take_profit REAL, price_stop_loss REAL,
    minutes INTEGER, scheduled_at INTEGER, pending_at INTEGER,
    profit_level INTEGER, loss_level INTEGER,
    payload TEXT NOT NULL,
    PRIMARY KEY (risk, mode, exchange, strategy, symbol, frame)
) STRICT;

-- Every event of every run, for good. AUTOINCREMENT: a number is never given twice.
CREATE TABLE journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    mode TEXT NOT NULL, exchange TEXT NOT NULL, strategy TEXT NOT NULL,
    symbol TEXT NOT NULL, frame TEXT NOT NULL,
    kind TEXT NOT NULL,  -- scheduled | opened | closed | cancelled | partial | risk | error
    at INTEGER,          -- instant, ms UTC
    signal_id TEXT, position TEXT,
    price REAL, price_open REAL, price_take_profit REAL, price_stop_loss REAL,
    level INTEGER,
    reason TEXT,         -- why closed or cancelled, side of a milestone, risk profile, error stage
    pnl_percent REAL,
    deliver INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    payload TEXT NOT NULL
) STRICT;
CREATE INDEX journal_results ON journal (mode, exchange, strategy, symbol, frame, number)
    WHERE kind IN ('closed', 'cancelled');
CREATE INDEX journal_counts ON journal (mode, exchange, strategy, symbol, frame, number, kind, reason)
    WHERE kind IN ('partial', 'risk');
CREATE INDEX journal_undelivered ON journal (number) WHERE deliver = 1 AND delivered = 0;

-- Operators' commands, for good.
CREATE TABLE command (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL, origin TEXT NOT NULL, command TEXT NOT NULL,
    target TEXT NOT NULL, result TEXT NOT NULL
) STRICT;

-- Finished backtests and walkers; the payload is the program's own.
CREATE TABLE finished (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, at INTEGER NOT NULL,
    summary TEXT NOT NULL, payload BLOB NOT NULL
) STRICT;

CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL
) STRICT;

-- Where runs stand, for readers; may lag, and may be lost with the power.
CREATE TABLE telemetry (
    mode TEXT NOT NULL, exchange TEXT NOT NULL, strategy TEXT NOT NULL,
    symbol TEXT NOT NULL, frame TEXT NOT NULL,
    at INTEGER NOT NULL, last_price REAL, pnl_percent REAL, heartbeat INTEGER NOT NULL,
    PRIMARY KEY (mode, exchange, strategy, symbol, frame)
) STRICT;

-- Rows that could not be understood, whole, as JSON; at is the wall clock.
CREATE TABLE quarantine (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL, source_row INTEGER NOT NULL,
    payload TEXT NOT NULL, error TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
