//! The library policy `exec` where no member stays that could take the data.

use anyhow::Result;
use serde_json::json;

use crate::site::{Site, same_claim};
use crate::store::Store;
use crate::trial::{Test, test};

pub(crate) const TESTS: &[Test] =
    &[test("last_member::keeps_its_claim_where_its_set_is_drained_and_goes", keeps)];

/// The config says nothing of it: the ordinal above is drained to the last member, whose claim stays when the set has gone.
fn keeps(site: &Site<'_>) -> Result<()> {
    let store = Store::exec(&json!({ "script": "true" }));
    site.start(&store.annotated("tidegate.dev/on-set-deleted", "drain"))?;
    site.set_is_held("web")?;
    let claim = site.claim_uid("data-web-0")?;
    site.ask_to_delete_set("web", "Background")?;
    site.gone("data-web-1", "web-1")?;
    site.told("web", "PolicyKeeps", &["web-0", "no member stays", "`whenAlone`"])?;
    site.set_is_gone("web")?;
    same_claim(site, "data-web-0", &claim)
}
