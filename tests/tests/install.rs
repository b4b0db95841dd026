//! CREATE and DROP EXTENSION, anywhere, and with parts of the installation missing.

use sql_tests::{ClientExt, Database, Scratch, SqlState, tone, wav};

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
