//! CREATE and DROP EXTENSION, anywhere, and with parts of the installation missing.

use sql_tests::{ClientExt, Database, Scratch, SqlState, Value, root, tone, wav};

#[test]
fn creating_needs_neither_library_nor_models() {
    let database = Database::empty();
    let mut client = database.connect();
    client.run("SET ai_audio.onnxruntime_library = '/no/such/libonnxruntime.so'; SET ai_audio.model_dir = '/no/such/models'");
    client.run("CREATE EXTENSION ai_audio CASCADE");
    assert_eq!(
        client.value::<f64>("SELECT cosine_similarity('[1,0]'::vector, '[1,0]'::vector)"),
        1.0
    );
}

#[test]
fn a_missing_library_is_named_with_its_setting() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let clip = scratch.file("clip.wav", &wav(&tone(2), 16_000));
    let mut client = database.connect();
    client.run("SET ai_audio.onnxruntime_library = '/no/such/libonnxruntime.so'");
    let error = client.error(&format!("SELECT ai_audio_embed('{clip}')"));
    let said = format!(
        "{} {} {}",
        error.message(),
        error.detail().unwrap_or(""),
        error.hint().unwrap_or("")
    );
    assert!(
        said.contains("/no/such/libonnxruntime.so")
            && said.contains("ai_audio.onnxruntime_library"),
        "{said}"
    );
    client.run("SELECT 1");
}

#[test]
fn a_missing_model_file_is_named() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let clip = scratch.file("clip.wav", &wav(&tone(2), 16_000));
    let mut client = database.connect();
    client.run("SET ai_audio.model_dir = '/no/such/models'");
    let error = client.error(&format!("SELECT ai_audio_embed('{clip}')"));
    let said = format!(
        "{} {} {}",
        error.message(),
        error.detail().unwrap_or(""),
        error.hint().unwrap_or("")
    );
    assert!(said.contains("/no/such/models"), "{said}");
    client.run("RESET ai_audio.model_dir");
    assert_eq!(
        client.value::<i32>(&format!("SELECT vector_dims(ai_audio_embed('{clip}'))")),
        192
    );
}

#[test]
fn it_works_in_a_schema_that_is_not_on_the_search_path() {
    let (database, scratch) = (Database::empty(), Scratch::new());
    let clip = scratch.file("clip.wav", &wav(&tone(2), 16_000));
    let mut client = database.connect();
    client.run("CREATE SCHEMA ext; CREATE EXTENSION vector SCHEMA ext; CREATE EXTENSION ai_audio SCHEMA ext");
    assert_eq!(
        client.value::<i32>(&format!(
            "SELECT ext.vector_dims(ext.ai_audio_embed('{clip}'))"
        )),
        192
    );
    assert!(client.value::<i64>("SELECT count(*) FROM ext.ai_audio_models") > 0);
}

#[test]
fn dropping_leaves_nothing_and_creating_again_works() {
    let database = Database::new();
    let mut client = database.connect();
    let left_over =
        "SELECT count(*) FROM pg_proc WHERE proname ~ '^(ai_audio|ai_voice|cosine_similarity)'";
    assert!(client.value::<i64>(left_over) > 0);
    client.run("DROP EXTENSION ai_audio");
    assert_eq!(client.value::<i64>(left_over), 0);
    client.run("CREATE EXTENSION ai_audio");
    client.run("CREATE TABLE voices (f vector(3))");
    client.run("DROP EXTENSION ai_audio"); // the type is pgvector's: the user's table does not stand in the way
}

#[test]
fn only_who_may_create_it_does() {
    let database = Database::empty();
    let role = database.role("");
    let mut client = database.connect_as(role.name());
    client.fails(
        "CREATE EXTENSION ai_audio CASCADE",
        SqlState::INSUFFICIENT_PRIVILEGE,
        &[],
    );
}

/// META.json by the rules of PGXN's meta spec 1.0.0, and equal to what the control file says.
#[test]
fn the_distribution_is_described_as_pgxn_wants_it() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).expect("a file");
    let meta: Value = serde_json::from_str(&read("META.json")).expect("JSON");
    let control = read("ai_audio.control");
    let setting = |key: &str| {
        let line = control.lines().find(|line| line.starts_with(key));
        let line = line.unwrap_or_else(|| panic!("{key} in ai_audio.control"));
        line.split('\'').nth(1).expect("a value in quotes")
    };
    let is_version = |text: &Value| {
        let parts: Vec<&str> = text.as_str().unwrap_or_default().split('.').collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok())
    };
    for key in ["abstract", "description", "generated_by"] {
        assert!(
            meta[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key}"
        );
    }
    assert!(
        meta["maintainer"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
    );
    assert_eq!(meta["name"], "ai_audio");
    assert_eq!(meta["version"], setting("default_version"));
    assert!(is_version(&meta["version"]));
    assert_eq!(meta["license"], "apache_2_0");
    assert_eq!(meta["meta-spec"]["version"], "1.0.0");
    let provided = &meta["provides"]["ai_audio"];
    assert_eq!(provided["version"], setting("default_version"));
    for key in ["file", "docfile"] {
        let path = provided[key].as_str().expect("a path");
        assert!(root().join(path).is_file(), "{path}");
    }
    let required = meta["prereqs"]["runtime"]["requires"]
        .as_object()
        .expect("needs");
    assert!(required.values().all(is_version), "{required:?}");
    for needed in setting("requires").split(',').map(str::trim) {
        assert!(required.contains_key(needed), "{needed}");
    }
    for tag in meta["tags"].as_array().expect("tags") {
        let tag = tag.as_str().expect("text");
        let printable = tag
            .chars()
            .all(|c| c != '/' && c != '\\' && !c.is_control());
        assert!((1..=255).contains(&tag.len()) && printable, "{tag}");
    }
}
