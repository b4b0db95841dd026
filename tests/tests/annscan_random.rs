//! Random statements give the same rows with the index as without it.
//!
//! A fixed seed by default. More on demand: AI_AUDIO_RANDOM_STATEMENTS=50000 AI_AUDIO_RANDOM_SEED=7.
//! A miss of the index itself (its recall) is told from a wrong answer: as many rows, in order, nearly all of them equal.

use std::collections::BTreeMap;

use postgres::{Client, SimpleQueryMessage};
use sql_tests::{ClientExt, Database};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A table to search, with what is special about it.
#[derive(Clone, Copy, PartialEq)]
struct Table {
    name: &'static str,
    nullable: bool,
    /// The condition that picks a row to search for.
    probes: &'static str,
    /// What the index holds.
    held: &'static str,
}

const fn table(name: &'static str, nullable: bool, probes: &'static str) -> Table {
    Table {
        name,
        nullable,
        probes,
        held: if matches!(name.as_bytes(), b"masked") {
            "masked(v)::vector(8)"
        } else {
            "v"
        },
    }
}

const TABLES: [Table; 10] = [
    table("voices", false, "id = PICK"),
    table("gaps", true, "id = PICK AND v IS NOT NULL"),
    table("sparse", true, "v IS NOT NULL"),
    table("twins", false, "id = PICK"),
    table("near", false, "id < 12"),
    table("dead", false, "id = 1"),
    table("locked", false, "id < 50"),
    table("parts", false, "id = PICK"),
    table("heirs", false, "id = PICK"),
    table("masked", true, "id = PICK"),
];

const ROWS: usize = 2000;

/// Tables of 2,000 rows. Eight dimensions and a dense graph: the index misses next to nothing.
/// Twins come in twenties: hundreds of equal vectors link to each other only, and pgvector's graph can fall apart.
fn tables(client: &mut Client) {
    client.run(&format!(
        "SET client_min_messages = warning;
         SELECT setseed(0.25);
         CREATE TABLE base AS SELECT i AS id, i % 10 AS side, 'name ' || md5(i::text) AS name, v FROM (
           SELECT i, array_agg(random() - 0.5)::vector(8) v FROM generate_series(1, {ROWS}) i, generate_series(1, 8) GROUP BY i) s;
         CREATE TABLE voices (id int PRIMARY KEY, side int, name text, v vector(8) NOT NULL);
         INSERT INTO voices SELECT * FROM base;
         CREATE TABLE gaps (LIKE base);
         INSERT INTO gaps SELECT id, side, name, CASE WHEN id % 3 > 0 THEN v END FROM base;
         CREATE TABLE sparse (LIKE base);
         INSERT INTO sparse SELECT id, side, name, CASE WHEN id % 100 = 0 THEN v END FROM base;
         CREATE TABLE twins (LIKE base); ALTER TABLE twins ALTER v SET NOT NULL;
         INSERT INTO twins SELECT b.id, b.side, b.name, c.v FROM base b JOIN base c ON c.id = 1 + b.id % 100;
         CREATE TABLE near (LIKE base); ALTER TABLE near ALTER v SET NOT NULL;
         INSERT INTO near SELECT id, side, name, CASE WHEN id < 12
           THEN ('[' || array_to_string(ARRAY[1, 2, 3, 4, 5, 6, 7, 8 + id * 2e-6], ',') || ']')::vector(8) ELSE v END FROM base;
         CREATE TABLE dead (LIKE base) WITH (autovacuum_enabled = off); ALTER TABLE dead ALTER v SET NOT NULL;
         INSERT INTO dead SELECT * FROM base;
         CREATE TABLE locked (LIKE base); ALTER TABLE locked ALTER v SET NOT NULL;
         INSERT INTO locked SELECT * FROM base;
         CREATE TABLE parts (id int, side int, name text, v vector(8) NOT NULL) PARTITION BY RANGE (side);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (3);
         CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (3) TO (9);
         CREATE TABLE parts_3 PARTITION OF parts DEFAULT;
         INSERT INTO parts SELECT * FROM base;
         CREATE TABLE heirs (id int, side int, name text, v vector(8) NOT NULL);
         CREATE TABLE heir () INHERITS (heirs);
         INSERT INTO heirs SELECT * FROM base WHERE id % 2 = 0;
         INSERT INTO heir SELECT * FROM base WHERE id % 2 = 1;
         CREATE TABLE masked (LIKE base); ALTER TABLE masked ALTER v SET NOT NULL;
         INSERT INTO masked SELECT * FROM base;
         -- NULL for some that are not.
         CREATE FUNCTION masked(vector) RETURNS vector(8) LANGUAGE plpgsql IMMUTABLE STRICT AS
           'BEGIN RETURN CASE WHEN public.vector_norm($1) > 0.8 THEN $1 END; END';
         CREATE TABLE calls (id int PRIMARY KEY, note text, rank float8);
         INSERT INTO calls SELECT id, 'note ' || id % 7, NULL FROM base;",
    ));
    for name in [
        "voices", "gaps", "sparse", "twins", "near", "dead", "locked", "parts", "heirs", "heir",
        "masked",
    ] {
        let held = if name == "masked" {
            "(masked(v)::vector(8))"
        } else {
            "v"
        };
        client.run(&format!(
            "CREATE INDEX ON {name} USING hnsw ({held} vector_cosine_ops) WITH (m = 24, ef_construction = 120)"
        ));
    }
    client.run(
        "BEGIN; INSERT INTO dead SELECT -i, 1, 'gone', v + (SELECT array_agg(random() * i / 1e6 + 0 * d) FROM generate_series(1, 8) d)::vector
           FROM dead, generate_series(1, 100) i WHERE id = 1; ROLLBACK;
         UPDATE calls SET rank = cosine_similarity(v, (SELECT v FROM near WHERE id = 3)) FROM near WHERE near.id = calls.id;
         ANALYZE",
    );
}

/// A statement with what is set when it is planned and when it runs.
struct Case {
    settings: Vec<String>,
    /// Set between planning and running; the statement is then a prepared one.
    later: Option<Vec<String>>,
    sql: String,
    /// Rows that tie may come in any order, so that only their similarities can be compared.
    total_order: bool,
}

fn settings(random: &mut Random) -> Vec<String> {
    let mut all = vec![
        format!("hnsw.ef_search = {}", random.of(&[40, 40, 100, 200, 500])),
        format!(
            "hnsw.iterative_scan = {}",
            random.of(&["off", "strict_order", "strict_order", "relaxed_order"])
        ),
    ];
    if random.one_in(4) {
        all.push(format!(
            "hnsw.max_scan_tuples = {}",
            random.of(&[1, 50, 300])
        ));
    }
    if random.one_in(6) {
        all.push("work_mem = '64kB'".into());
    }
    if random.one_in(3) {
        all.push("enable_sort = off".into());
    }
    if random.one_in(4) {
        all.push("enable_hashjoin = off; SET enable_nestloop = off".into());
    }
    all
}

fn case(random: &mut Random) -> Case {
    let table = random.of(&TABLES);
    let pick = (1 + random.below(ROWS)).to_string();
    let probe = format!(
        "(SELECT v FROM {} WHERE {} ORDER BY id LIMIT 1)",
        table.name,
        table.probes.replace("PICK", &pick)
    );
    // What is gone cannot be read by a subquery that finds nothing.
    let s = if random.one_in(4) {
        format!("cosine_similarity({probe}, {})", table.held)
    } else {
        format!("cosine_similarity({}, {probe})", table.held)
    };
    let sample = if random.one_in(12) {
        format!(
            " TABLESAMPLE {} ({}) REPEATABLE ({})",
            random.of(&["BERNOULLI", "SYSTEM"]),
            random.of(&["1", "20"]),
            random.below(9)
        )
    } else {
        String::new()
    };
    let mut conditions = vec![];
    match random.below(10) {
        0 => conditions.push(format!("side = {}", random.below(10))),
        1 => conditions.push(format!("id % {} = 0", 1 + random.below(400))),
        2 => conditions.push(format!("{s} > {}", random.of(&["-0.5", "0.3", "0.9"]))),
        3 => conditions.push(format!("{s} < {}", random.of(&["0.999", "0.5", "0"]))),
        4 => conditions.push("name LIKE 'name 0%'".into()),
        5 => conditions
            .push("EXISTS (SELECT FROM calls c WHERE c.id = t.id AND note = 'note 3')".into()),
        _ => {}
    }
    let nulls = if table.nullable {
        match random.below(3) {
            0 => "",
            1 => {
                conditions.push("v IS NOT NULL".into());
                ""
            }
            _ => " NULLS LAST",
        }
    } else {
        random.of(&["", "", " NULLS LAST"])
    };
    let filter = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    let second = random.of(&["", "", ", id", ", name, id"]);
    let count = random.of(&[1, 3, 5, 10, 20, 30, 60, 200]);
    let mut limit = format!("LIMIT {count}");
    let mut total_order = !second.is_empty();
    match random.below(12) {
        0 | 1 => limit += &format!(" OFFSET {}", random.below(30)),
        2 => limit = format!("FETCH FIRST {count} ROWS WITH TIES"),
        3 => limit = format!("LIMIT (SELECT count(*) FROM calls WHERE id <= {count})"),
        4 if random.one_in(2) => limit = String::new(),
        _ => {}
    }
    let (name, from) = (table.name, format!("{} t{sample}", table.name));
    let order = format!("ORDER BY s DESC{nulls}{second}");
    let inner = format!("SELECT id, name, side, {s} AS s FROM {from}{filter}");
    let sql = match random.below(18) {
        0 => format!("SELECT s, id FROM ({inner}) q {order} {limit}"),
        1 if !limit.contains("TIES") => {
            format!("SELECT s, id FROM ({inner} {order}) q {limit}")
        }
        2 => format!("WITH q AS ({inner}) SELECT s, id FROM q {order} {limit}"),
        3 => format!("WITH q AS MATERIALIZED ({inner} {order} {limit}) SELECT s, id FROM q"),
        4 => format!("SELECT s, id FROM ({inner}) q JOIN calls c USING (id) {order} {limit}"),
        5 => format!(
            "SELECT s, id FROM ({inner}) q JOIN calls c USING (id) WHERE note = 'note 2' {order} {limit}"
        ),
        6 => format!(
            "SELECT s, q.id FROM ({inner}) q LEFT JOIN calls c ON c.id = q.id AND note = 'note 1' {} {limit}",
            order.replace(", id", ", q.id")
        ),
        7 => {
            total_order = true;
            format!(
                "SELECT DISTINCT s, id, name FROM ({inner}) q ORDER BY s DESC{nulls}, id, name {limit}"
            )
        }
        8 => {
            total_order = true;
            format!(
                "SELECT s, id, count(*) FROM ({inner}) q GROUP BY id, name, s ORDER BY s DESC{nulls}, id {limit}"
            )
        }
        9 => {
            total_order = true;
            format!(
                "SELECT s, string_agg(name, ',' ORDER BY id) FROM ({inner}) q GROUP BY s ORDER BY s DESC{nulls} {limit}"
            )
        }
        10 => format!(
            "SELECT s, row_number() OVER (ORDER BY s DESC{nulls}, id) FROM ({inner}) q ORDER BY 1 DESC{nulls} {limit}"
        ),
        11 if !limit.contains("TIES") => {
            let lock = random.of(&["SKIP LOCKED", "SKIP LOCKED", ""]);
            let lock = if name == "locked" {
                "SKIP LOCKED"
            } else {
                lock
            };
            format!(
                "SELECT {s} AS s, id FROM {from}{filter} {order} {limit} FOR UPDATE OF t {lock}"
            )
        }
        12 => {
            // The best of each of a few calls.
            total_order = false;
            let held = table.held;
            format!("SELECT n.s, c.id FROM (SELECT id, v FROM base WHERE id < 4) c, LATERAL
                     (SELECT cosine_similarity({held}, c.v) AS s, t.id FROM {from} {} {limit}) n ORDER BY c.id, n.s DESC{nulls}",
                order.replace("ORDER BY s", &format!("ORDER BY cosine_similarity({held}, c.v)")))
        }
        13 => format!(
            "SELECT s, id FROM (({inner} {order} {limit}) UNION ALL (SELECT id, name, side, 2.0 FROM voices WHERE id = 1)) q {order}"
        ),
        14 => {
            let s = "cosine_similarity(v, (SELECT v FROM near WHERE id = 3))";
            format!(
                "SELECT s, q.id FROM (SELECT id, name, {s} AS s FROM near) q JOIN calls c ON c.rank = q.s {} {limit}",
                order.replace(", id", ", q.id")
            )
        }
        15 => {
            // What is searched for is a row of its own.
            let beside =
                format!("SELECT {s} AS s, id FROM {from}, BESIDE AS p{filter} {order} {limit}");
            let row = probe.replacen("SELECT v", "SELECT v AS probe", 1);
            beside.replace(&probe, "p.probe").replace("BESIDE", &row)
        }
        _ => format!("SELECT {s} AS s, id FROM {from}{filter} {order} {limit}"),
    };
    let mut planned = settings(random);
    planned.push("plan_cache_mode = force_generic_plan".into());
    let later = random.one_in(4).then(|| {
        let mut later = settings(random);
        if random.one_in(4) {
            later.push("ai_audio.enable_annscan = off".into());
        }
        later
    });
    Case {
        settings: planned,
        later,
        sql,
        total_order,
    }
}

fn set(client: &mut Client, settings: &[String]) {
    for setting in settings {
        client.run(&format!("SET {setting}"));
    }
}

type Row = (Option<String>, Option<String>);

/// Rows as text, or the error that no query may raise.
fn rows(client: &mut Client, sql: &str) -> Result<Vec<Row>, String> {
    let messages = client
        .simple_query(sql)
        .map_err(|error| error.to_string())?;
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some((
            row.get(0).map(str::to_string),
            row.get(1).map(str::to_string),
        )),
        _ => None,
    };
    Ok(messages.iter().filter_map(row).collect())
}

/// What the two answers are to each other.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Same,
    /// The index missed a row.
    Recall,
    Wrong,
}

fn first_difference(exact: &[Row], found: &[Row]) -> String {
    let at = exact.iter().zip(found).take_while(|(a, b)| a == b).count();
    format!(
        "row {at}: {:?} instead of {:?}",
        found.get(at),
        exact.get(at)
    )
}

fn compare(case: &Case, exact: &[Row], found: &[Row]) -> Verdict {
    let same = if case.total_order {
        exact == found
    } else {
        exact.iter().map(|r| &r.0).eq(found.iter().map(|r| &r.0))
    };
    if same {
        return Verdict::Same;
    }
    let number = |row: &Row| {
        row.0
            .as_ref()
            .map_or(f64::NEG_INFINITY, |s| s.parse().unwrap_or(f64::NAN))
    };
    let sorted = |rows: &[Row]| rows.windows(2).all(|w| number(&w[0]) >= number(&w[1]));
    let mut missing: BTreeMap<&Option<String>, i64> = BTreeMap::new();
    exact
        .iter()
        .for_each(|r| *missing.entry(&r.0).or_default() += 1);
    found
        .iter()
        .for_each(|r| *missing.entry(&r.0).or_default() -= 1);
    let missing: i64 = missing.values().filter(|n| **n > 0).sum();
    // A LATERAL answer is a list of lists.
    let in_order = sorted(found) || !sorted(exact);
    // An index misses more the farther it has to read: a whole page of it behind a filter.
    let few = missing >= 1 && missing * 2 <= 1 + exact.len() as i64;
    if in_order && few && exact.len().abs_diff(found.len()) * 20 <= exact.len() {
        Verdict::Recall
    } else {
        Verdict::Wrong
    }
}

#[test]
fn random_statements_give_the_same_rows_with_and_without_the_index() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().map_or(default, |v| {
            v.parse().unwrap_or_else(|_| panic!("{name} is a number"))
        })
    };
    let statements = number("AI_AUDIO_RANDOM_STATEMENTS", 2000);
    let mut random = Random(number("AI_AUDIO_RANDOM_SEED", 1));
    let database = Database::new();
    let mut client = database.connect();
    tables(&mut client);
    let mut locker = database.connect();
    locker.run("BEGIN; SELECT count(*) FROM (SELECT FROM locked WHERE id < 600 FOR UPDATE) q");

    let (mut indexed, mut recall, mut wrong) = (0, 0, Vec::new());
    for _ in 0..statements {
        let case = case(&mut random);
        client
            .run("RESET ALL; SET client_min_messages = warning; SET synchronous_commit = off; SET jit = off; SET ai_audio.enable_annscan = off");
        let exact =
            rows(&mut client, &case.sql).unwrap_or_else(|e| panic!("{e}\nin: {}", case.sql));
        client.run("RESET ALL; SET client_min_messages = warning; SET synchronous_commit = off; SET jit = off; SET enable_seqscan = off");
        set(&mut client, &case.settings);
        let plan: Vec<String> = client.column(&format!("EXPLAIN (COSTS OFF) {}", case.sql));
        indexed += u64::from(
            plan.iter()
                .any(|line| line.contains("Order By: (") && line.contains(" <=> ")),
        );
        let found = match &case.later {
            None => rows(&mut client, &case.sql),
            Some(later) => {
                client.run(&format!("PREPARE p AS {}", case.sql));
                client.run("EXPLAIN EXECUTE p");
                set(&mut client, later);
                let found = rows(&mut client, "EXECUTE p");
                client.run("DEALLOCATE p");
                found
            }
        };
        let verdict = found
            .as_ref()
            .map_or(Verdict::Wrong, |found| compare(&case, &exact, found));
        match verdict {
            Verdict::Same => {}
            Verdict::Recall => recall += 1,
            Verdict::Wrong => wrong.push(format!(
                "{}\nset: {:?}, later {:?}\n{}: {} rows instead of {}, {}\n{}",
                case.sql,
                case.settings,
                case.later,
                found.as_ref().err().map_or("rows", String::as_str),
                found.as_ref().map_or(0, Vec::len),
                exact.len(),
                first_difference(&exact, found.as_deref().unwrap_or_default()),
                plan.join("\n")
            )),
        }
    }
    println!(
        "{statements} statements, {indexed} with the index, {recall} with a row that the index missed, {} wrong",
        wrong.len()
    );
    assert!(
        wrong.is_empty(),
        "{} of {statements} are wrong. The first:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(12)].join("\n\n")
    );
    assert!(
        indexed * 4 > statements,
        "only {indexed} of {statements} used the index"
    );
    assert!(
        recall * 50 <= statements,
        "{recall} of {statements} missed a row"
    );
}
