//! An upgraded installation and a fresh one are the same, catalog by catalog.

use std::collections::BTreeSet;
use std::fs;

use sql_tests::{Client, ClientExt, Database, root};

/// Upgrade scripts as (from, to), out of names like `ai_audio--0.1.0--0.2.0.sql`.
fn upgrades() -> Vec<(String, String)> {
    let files = fs::read_dir(root().join("sql")).expect("sql/ is there");
    let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    names
        .filter_map(|name| {
            let (from, to) = name
                .strip_prefix("ai_audio--")?
                .strip_suffix(".sql")?
                .split_once("--")?;
            Some((from.to_string(), to.to_string()))
        })
        .collect()
}

/// All that the extension put into the catalogs, in words: what there is, how it is defined, described and granted.
fn catalog(client: &mut Client) -> BTreeSet<String> {
    let lines: Vec<String> = client.column(
        "WITH members AS (
           SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
           FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
           WHERE e.extname = 'ai_audio' AND d.deptype = 'e')
         SELECT name || coalesce(': ' || obj_description(objid, classid::regclass::name), '') FROM members
         UNION ALL SELECT pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '')
           FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid WHERE p.prokind IN ('f', 'w', 'p')
         UNION ALL SELECT m.name || ' aggregates ' || to_jsonb(a)::text
           FROM members m JOIN pg_aggregate a ON m.classid = 'pg_proc'::regclass AND a.aggfnoid = m.objid
         UNION ALL SELECT m.name || ' is ' || coalesce(pg_get_viewdef(c.oid), c.relkind::text) || coalesce(c.relacl::text, '')
           FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
         UNION ALL SELECT m.name || ' has column ' || a.attnum || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
             || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
           FROM members m JOIN pg_attribute a ON m.classid = 'pg_class'::regclass AND a.attrelid = m.objid
           WHERE a.attnum > 0 AND NOT a.attisdropped
         UNION ALL SELECT m.name || ' ' || pg_get_constraintdef(c.oid)
           FROM members m JOIN pg_constraint c ON m.classid = 'pg_class'::regclass AND c.conrelid = m.objid
         UNION ALL SELECT m.name || ' validates by ' || w.fdwvalidator::regproc || ' handles by ' || w.fdwhandler::regproc || coalesce(w.fdwacl::text, '')
           FROM members m JOIN pg_foreign_data_wrapper w ON m.classid = 'pg_foreign_data_wrapper'::regclass AND w.oid = m.objid
         UNION ALL SELECT m.name || ' has ' || pg_get_triggerdef(t.oid)
           FROM members m JOIN pg_trigger t ON m.classid = 'pg_class'::regclass AND t.tgrelid = m.objid
         UNION ALL SELECT 'dumped: ' || config::regclass::text || ' where ' || condition
           FROM pg_extension, unnest(extconfig, extcondition) AS c(config, condition) WHERE extname = 'ai_audio'",
    );
    lines.into_iter().collect()
}

fn installed(version: &str) -> (Database, Client) {
    let database = Database::empty();
    let mut client = database.connect();
    client.run(&format!(
        "CREATE EXTENSION vector; CREATE EXTENSION ai_audio VERSION '{version}'"
    ));
    (database, client)
}

#[test]
fn upgraded_and_fresh_installations_do_not_differ() {
    for (from, to) in upgrades() {
        let (_old_database, mut old) = installed(&from);
        old.run(&format!("ALTER EXTENSION ai_audio UPDATE TO '{to}'"));
        let (_fresh_database, mut fresh) = installed(&to);
        assert_eq!(
            catalog(&mut old),
            catalog(&mut fresh),
            "{from} upgraded to {to}, and a fresh {to}"
        );
    }
}

#[test]
fn every_released_version_reaches_the_current_one() {
    let database = Database::empty();
    let mut client = database.connect();
    let stranded: Vec<String> = client.column(
        "SELECT source FROM pg_extension_update_paths('ai_audio')
         WHERE target = (SELECT default_version FROM pg_available_extensions WHERE name = 'ai_audio') AND path IS NULL",
    );
    assert!(stranded.is_empty(), "no upgrade path from {stranded:?}");
}

/// The comparison itself: the same twice, and not blind to a small change.
#[test]
fn the_comparison_sees_a_changed_comment() {
    let database = Database::new();
    let mut client = database.connect();
    let before = catalog(&mut client);
    assert!(before.len() > 20, "{before:#?}");
    client.run("DROP EXTENSION ai_audio; CREATE EXTENSION ai_audio");
    assert_eq!(catalog(&mut client), before);
    client.run("COMMENT ON FUNCTION cosine_similarity(vector, vector) IS 'something else'");
    assert_ne!(catalog(&mut client), before);
}
