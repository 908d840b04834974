//! Tokens whose form their vendors document: a prefix, an alphabet, a length, some with a checksum.

use std::borrow::Cow;

use super::checksum::{
    age, atlassian, aws_id, azure_storage, github, hexadecimal, jwt, pypi, varied, with_digits,
};
use super::rule::{Check, Matcher, Pattern, Rule, Severity};

/// A row of the table: id, what it is, keyword, pattern, check.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Check,
);

/// Patterns that start with their keyword.
const TOKENS: &[Row] = &[
    // docs.github.com, "About authentication to GitHub": token formats.
    (
        "github-token",
        "GitHub token",
        "ghp_",
        "ghp_[A-Za-z0-9]{36}",
        github,
    ),
    (
        "github-token",
        "GitHub token",
        "gho_",
        "gho_[A-Za-z0-9]{36}",
        github,
    ),
    (
        "github-token",
        "GitHub token",
        "ghu_",
        "ghu_[A-Za-z0-9]{36}",
        github,
    ),
    (
        "github-token",
        "GitHub token",
        "ghs_",
        "ghs_[A-Za-z0-9]{36}",
        github,
    ),
    (
        "github-token",
        "GitHub token",
        "ghr_",
        "ghr_[A-Za-z0-9]{36}",
        github,
    ),
    (
        "github-fine-grained-token",
        "GitHub fine-grained token",
        "github_pat_",
        "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
        varied,
    ),
    (
        "npm-token",
        "npm access token",
        "npm_",
        "npm_[A-Za-z0-9]{36}",
        github,
    ),
    // docs.gitlab.com, "Token overview": token prefixes.
    (
        "gitlab-token",
        "GitLab token",
        "glpat-",
        r"glpat-[A-Za-z0-9_\-]{20,}(?:\.[a-z0-9]{2}\.[a-z0-9]{7,9})?",
        varied,
    ),
    (
        "gitlab-token",
        "GitLab deploy token",
        "gldt-",
        r"gldt-[A-Za-z0-9_\-]{20,}",
        varied,
    ),
    (
        "gitlab-token",
        "GitLab runner token",
        "glrt-",
        r"glrt-[A-Za-z0-9_\-]{20,}(?:\.[a-z0-9]{2}\.[a-z0-9]{7,9})?",
        varied,
    ),
    (
        "gitlab-token",
        "GitLab CI build token",
        "glcbt-",
        r"glcbt-[A-Za-z0-9_\-]{16,}",
        varied,
    ),
    (
        "gitlab-token",
        "GitLab trigger token",
        "glptt-",
        r"glptt-[a-f0-9]{40}",
        varied,
    ),
    (
        "gitlab-token",
        "GitLab OAuth secret",
        "gloas-",
        r"gloas-[A-Za-z0-9_\-]{40,}",
        varied,
    ),
    (
        "gitlab-token",
        "GitLab agent token",
        "glagent-",
        r"glagent-[A-Za-z0-9_\-]{40,}",
        varied,
    ),
    (
        "gitlab-token",
        "GitLab SCIM token",
        "glsoat-",
        r"glsoat-[A-Za-z0-9_\-]{20,}",
        varied,
    ),
    (
        "gitlab-token",
        "GitLab runner registration token",
        "gr1348941",
        r"GR1348941[A-Za-z0-9_\-]{20,}",
        varied,
    ),
    // api.slack.com, "Token types".
    (
        "slack-token",
        "Slack token",
        "xoxb-",
        r"xoxb-[0-9]{8,14}-[0-9A-Za-z\-]{16,}",
        varied,
    ),
    (
        "slack-token",
        "Slack token",
        "xoxp-",
        r"xoxp-[0-9]{8,14}-[0-9A-Za-z\-]{16,}",
        varied,
    ),
    (
        "slack-token",
        "Slack token",
        "xoxe",
        r"xoxe(?:\.xox[bp])?-[0-9]-[0-9A-Za-z\-]{60,}",
        varied,
    ),
    (
        "slack-token",
        "Slack token",
        "xoxs-",
        r"xoxs-[0-9]{8,14}-[0-9A-Za-z\-]{16,}",
        varied,
    ),
    (
        "slack-app-token",
        "Slack app token",
        "xapp-",
        r"xapp-[0-9]-[A-Z0-9]{8,14}-[0-9]{8,16}-[a-f0-9]{64}",
        varied,
    ),
    (
        "slack-webhook",
        "Slack webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(T[A-Z0-9]{6,12}/[A-Z0-9]{6,14}/[A-Za-z0-9]{18,26})",
        varied,
    ),
    // docs.stripe.com/keys
    (
        "stripe-key",
        "Stripe live key",
        "sk_live_",
        "sk_live_[0-9A-Za-z]{16,247}",
        varied,
    ),
    (
        "stripe-key",
        "Stripe restricted key",
        "rk_live_",
        "rk_live_[0-9A-Za-z]{16,247}",
        varied,
    ),
    (
        "stripe-webhook",
        "Stripe webhook secret",
        "whsec_",
        "whsec_[A-Za-z0-9+/]{32,}={0,2}",
        with_digits,
    ),
    // docs.aws.amazon.com, IAM, "Understanding unique ID prefixes".
    (
        "aws-key-id",
        "AWS access key id",
        "akia",
        "AKIA[A-Z2-7]{16}",
        aws_id,
    ),
    (
        "aws-key-id",
        "AWS temporary key id",
        "asia",
        "ASIA[A-Z2-7]{16}",
        aws_id,
    ),
    (
        "aws-bedrock-key",
        "Amazon Bedrock API key",
        "absk",
        "ABSK[A-Za-z0-9+/]{109,269}={0,2}",
        varied,
    ),
    // cloud.google.com
    (
        "gcp-api-key",
        "Google API key",
        "aiza",
        r"AIza[0-9A-Za-z_\-]{35}",
        varied,
    ),
    (
        "gcp-oauth-secret",
        "Google OAuth client secret",
        "gocspx-",
        r"GOCSPX-[A-Za-z0-9_\-]{28}",
        varied,
    ),
    (
        "gcp-oauth-token",
        "Google OAuth token",
        "ya29.",
        r"ya29\.[0-9A-Za-z_\-]{60,}",
        varied,
    ),
    (
        "gcp-refresh-token",
        "Google refresh token",
        "1//0",
        r"1//0[0-9A-Za-z_\-]{60,}",
        varied,
    ),
    // learn.microsoft.com
    (
        "azure-storage-key",
        "Azure storage key",
        "accountkey=",
        "AccountKey=([A-Za-z0-9+/]{86}==)",
        azure_storage,
    ),
    (
        "azure-shared-access-key",
        "Azure shared access key",
        "sharedaccesskey=",
        "SharedAccessKey=([A-Za-z0-9+/]{43}=)",
        varied,
    ),
    (
        "azure-sas",
        "Azure shared access signature",
        "&sig=",
        "&sig=([A-Za-z0-9%/+]{40,64}(?:=|%3[Dd]))",
        varied,
    ),
    // developer.hashicorp.com/vault/docs/concepts/tokens
    (
        "vault-token",
        "Vault service token",
        "hvs.",
        r"hvs\.[A-Za-z0-9_\-]{24,}",
        varied,
    ),
    (
        "vault-token",
        "Vault batch token",
        "hvb.",
        r"hvb\.[A-Za-z0-9_\-]{60,}",
        varied,
    ),
    (
        "vault-token",
        "Vault recovery token",
        "hvr.",
        r"hvr\.[A-Za-z0-9_\-]{24,}",
        varied,
    ),
    (
        "age-identity",
        "age identity",
        "age-secret-key-1",
        "AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
        age,
    ),
    (
        "age-identity",
        "age post-quantum identity",
        "age-secret-key-pq-1",
        "AGE-SECRET-KEY-PQ-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58,}",
        varied,
    ),
    (
        "pypi-token",
        "PyPI token",
        "pypi-age",
        r"pypi-AgE[A-Za-z0-9_\-]{70,}",
        pypi,
    ),
    (
        "jwt",
        "JSON Web Token",
        "eyj",
        r"eyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{20,}",
        jwt,
    ),
    (
        "dockerhub-token",
        "Docker Hub token",
        "dckr_pat_",
        r"dckr_pat_[A-Za-z0-9_\-]{27}",
        varied,
    ),
    (
        "dockerhub-token",
        "Docker Hub organisation token",
        "dckr_oat_",
        r"dckr_oat_[A-Za-z0-9_\-]{32}",
        varied,
    ),
    (
        "docker-swarm-token",
        "Docker Swarm token",
        "swmtkn-1-",
        "SWMTKN-1-[a-z0-9]{50}-[a-z0-9]{25}",
        varied,
    ),
    (
        "docker-swarm-key",
        "Docker Swarm unlock key",
        "swmkey-1-",
        r"SWMKEY-1-[A-Za-z0-9+/]{43}",
        varied,
    ),
    (
        "digitalocean-token",
        "DigitalOcean token",
        "dop_v1_",
        "dop_v1_[a-f0-9]{64}",
        hexadecimal,
    ),
    (
        "digitalocean-token",
        "DigitalOcean OAuth token",
        "doo_v1_",
        "doo_v1_[a-f0-9]{64}",
        hexadecimal,
    ),
    (
        "digitalocean-token",
        "DigitalOcean refresh token",
        "dor_v1_",
        "dor_v1_[a-f0-9]{64}",
        hexadecimal,
    ),
    (
        "sendgrid-key",
        "SendGrid API key",
        "sg.",
        r"SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}",
        varied,
    ),
    (
        "brevo-key",
        "Brevo API key",
        "xkeysib-",
        r"xkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}",
        varied,
    ),
    (
        "brevo-key",
        "Brevo SMTP key",
        "xsmtpsib-",
        r"xsmtpsib-[a-f0-9]{64}-[A-Za-z0-9]{16}",
        varied,
    ),
    (
        "mailgun-key",
        "Mailgun key",
        "key-",
        "key-[0-9a-f]{32}",
        hexadecimal,
    ),
    (
        "shopify-token",
        "Shopify token",
        "shpat_",
        "shpat_[a-fA-F0-9]{32}",
        hexadecimal,
    ),
    (
        "shopify-token",
        "Shopify token",
        "shpca_",
        "shpca_[a-fA-F0-9]{32}",
        hexadecimal,
    ),
    (
        "shopify-token",
        "Shopify token",
        "shppa_",
        "shppa_[a-fA-F0-9]{32}",
        hexadecimal,
    ),
    (
        "shopify-token",
        "Shopify shared secret",
        "shpss_",
        "shpss_[a-fA-F0-9]{32}",
        hexadecimal,
    ),
    (
        "square-token",
        "Square token",
        "sq0atp-",
        r"sq0atp-[0-9A-Za-z_\-]{22}",
        varied,
    ),
    (
        "square-token",
        "Square secret",
        "sq0csp-",
        r"sq0csp-[0-9A-Za-z_\-]{43}",
        varied,
    ),
    (
        "openai-key",
        "OpenAI key",
        "sk-proj-",
        r"sk-proj-[A-Za-z0-9_\-]{40,200}",
        varied,
    ),
    (
        "openai-key",
        "OpenAI service account key",
        "sk-svcacct-",
        r"sk-svcacct-[A-Za-z0-9_\-]{40,200}",
        varied,
    ),
    (
        "openai-key",
        "OpenAI admin key",
        "sk-admin-",
        r"sk-admin-[A-Za-z0-9_\-]{40,200}",
        varied,
    ),
    (
        "anthropic-key",
        "Anthropic key",
        "sk-ant-",
        r"sk-ant-(?:api|admin|oat|sid)[0-9]{2}-[A-Za-z0-9_\-]{80,120}",
        varied,
    ),
    (
        "openrouter-key",
        "OpenRouter key",
        "sk-or-v1-",
        "sk-or-v1-[a-f0-9]{64}",
        hexadecimal,
    ),
    (
        "huggingface-token",
        "Hugging Face token",
        "hf_",
        "hf_[A-Za-z]{34}",
        varied,
    ),
    (
        "groq-key",
        "Groq key",
        "gsk_",
        "gsk_[A-Za-z0-9]{52}",
        varied,
    ),
    (
        "perplexity-key",
        "Perplexity key",
        "pplx-",
        "pplx-[A-Za-z0-9]{48}",
        varied,
    ),
    ("xai-key", "xAI key", "xai-", "xai-[A-Za-z0-9]{80}", varied),
    (
        "replicate-token",
        "Replicate token",
        "r8_",
        "r8_[A-Za-z0-9]{37}",
        varied,
    ),
    (
        "langsmith-key",
        "LangSmith key",
        "lsv2_",
        "lsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}",
        hexadecimal,
    ),
    (
        "grafana-token",
        "Grafana service account token",
        "glsa_",
        "glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}",
        varied,
    ),
    (
        "grafana-cloud-token",
        "Grafana Cloud token",
        "glc_",
        "glc_eyJ[A-Za-z0-9+/]{50,}={0,2}",
        varied,
    ),
    (
        "newrelic-key",
        "New Relic key",
        "nrak-",
        "NRAK-[A-Z0-9]{27}",
        varied,
    ),
    (
        "databricks-token",
        "Databricks token",
        "dapi",
        "dapi[a-f0-9]{32}(?:-[0-9])?",
        hexadecimal,
    ),
    (
        "pulumi-token",
        "Pulumi token",
        "pul-",
        "pul-[a-f0-9]{40}",
        hexadecimal,
    ),
    (
        "linear-key",
        "Linear key",
        "lin_api_",
        "lin_api_[A-Za-z0-9]{40}",
        varied,
    ),
    (
        "notion-token",
        "Notion token",
        "ntn_",
        "ntn_[0-9]{11}[A-Za-z0-9]{35}",
        varied,
    ),
    (
        "postman-key",
        "Postman key",
        "pmak-",
        "PMAK-[a-f0-9]{24}-[a-f0-9]{34}",
        hexadecimal,
    ),
    (
        "doppler-token",
        "Doppler token",
        "dp.",
        r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9\-_]{2,35}\.)?[A-Za-z0-9]{40,44}",
        varied,
    ),
    (
        "fly-token",
        "Fly.io token",
        "fm2_",
        "fm2_[A-Za-z0-9+/]{100,}={0,3}",
        varied,
    ),
    (
        "heroku-key",
        "Heroku key",
        "hrku-",
        r"HRKU-[A-Za-z0-9_\-]{58,60}",
        varied,
    ),
    (
        "planetscale-token",
        "PlanetScale token",
        "pscale_",
        r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9=._\-]{32,64}",
        varied,
    ),
    (
        "supabase-token",
        "Supabase token",
        "sbp_",
        "sbp_[a-f0-9]{40}",
        hexadecimal,
    ),
    (
        "supabase-key",
        "Supabase secret key",
        "sb_secret_",
        r"sb_secret_[A-Za-z0-9_\-]{31}",
        varied,
    ),
    (
        "sentry-token",
        "Sentry token",
        "sntry",
        r"sntry(?:s_eyJ[A-Za-z0-9+/=_\-]{60,}|u_[a-f0-9]{64})",
        varied,
    ),
    (
        "dynatrace-token",
        "Dynatrace token",
        "dt0c01.",
        r"dt0c01\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
        varied,
    ),
    (
        "atlassian-token",
        "Atlassian token",
        "atatt3xffgf0",
        r"ATATT3xFfGF0[A-Za-z0-9+/=_\-]{160,200}=[A-F0-9]{8}",
        atlassian,
    ),
    (
        "bitbucket-token",
        "Bitbucket app password",
        "atbb",
        "ATBB[A-Za-z0-9]{24}[A-F0-9]{8}",
        varied,
    ),
    (
        "circleci-token",
        "CircleCI token",
        "ccipat_",
        "CCIPAT_[A-Za-z0-9]{22}_[a-f0-9]{40}",
        varied,
    ),
    (
        "buildkite-token",
        "Buildkite token",
        "bkua_",
        "bkua_[a-f0-9]{40}",
        hexadecimal,
    ),
    (
        "rubygems-key",
        "RubyGems key",
        "rubygems_",
        "rubygems_[a-f0-9]{48}",
        hexadecimal,
    ),
    (
        "nuget-key",
        "NuGet key",
        "oy2",
        "oy2[a-z0-9]{43}",
        with_digits,
    ),
    (
        "crates-io-token",
        "crates.io token",
        "cio",
        "cio[A-Za-z0-9]{32}",
        with_digits,
    ),
    (
        "artifactory-key",
        "Artifactory key",
        "akcp",
        "AKCp[A-Za-z0-9]{69}",
        varied,
    ),
    (
        "figma-token",
        "Figma token",
        "figd_",
        r"figd_[A-Za-z0-9_\-]{40}",
        varied,
    ),
    (
        "mapbox-token",
        "Mapbox secret token",
        "sk.eyj",
        r"sk\.eyJ[A-Za-z0-9_\-]{40,}\.[A-Za-z0-9_\-]{20,}",
        varied,
    ),
    (
        "tailscale-key",
        "Tailscale key",
        "tskey-",
        r"tskey-(?:auth|api|client|scim|webhook)-[A-Za-z0-9]{10,}-[A-Za-z0-9]{20,}",
        varied,
    ),
    (
        "cloudflare-origin-key",
        "Cloudflare origin CA key",
        "v1.0-",
        "v1\\.0-[a-f0-9]{24}-[a-f0-9]{146}",
        hexadecimal,
    ),
    (
        "1password-token",
        "1Password service account token",
        "ops_eyj",
        "ops_eyJ[A-Za-z0-9+/]{250,}={0,3}",
        varied,
    ),
    (
        "1password-key",
        "1Password secret key",
        "a3-",
        "A3-[A-Z0-9]{6}-[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}",
        varied,
    ),
    (
        "easypost-key",
        "EasyPost key",
        "ezak",
        "EZAK[A-Za-z0-9]{54}",
        varied,
    ),
    (
        "razorpay-key",
        "Razorpay key id",
        "rzp_live_",
        "rzp_live_[A-Za-z0-9]{14}",
        with_digits,
    ),
    (
        "braintree-token",
        "Braintree token",
        "access_token$production$",
        r"access_token\$production\$[a-z0-9]{16}\$[a-f0-9]{32}",
        varied,
    ),
    (
        "discord-webhook",
        "Discord webhook",
        "discord.com/api/webhooks/",
        r"discord\.com/api/webhooks/([0-9]{17,20}/[A-Za-z0-9_\-]{60,72})",
        varied,
    ),
    (
        "discord-webhook",
        "Discord webhook",
        "discordapp.com/api/webhooks/",
        r"discordapp\.com/api/webhooks/([0-9]{17,20}/[A-Za-z0-9_\-]{60,72})",
        varied,
    ),
    (
        "teams-webhook",
        "Microsoft Teams webhook",
        "webhook.office.com/",
        r"webhook\.office\.com/webhookb2/([0-9a-f\-]{36}@[0-9a-f\-]{36}/IncomingWebhook/[0-9a-f]{32}/[0-9a-f\-]{36})",
        varied,
    ),
    (
        "sonar-token",
        "SonarQube token",
        "sqp_",
        "sqp_[a-f0-9]{40}",
        hexadecimal,
    ),
    (
        "sonar-token",
        "SonarQube token",
        "squ_",
        "squ_[a-f0-9]{40}",
        hexadecimal,
    ),
    (
        "sonar-token",
        "SonarQube token",
        "sqa_",
        "sqa_[a-f0-9]{40}",
        hexadecimal,
    ),
    (
        "prefect-token",
        "Prefect token",
        "pnu_",
        "pnu_[A-Za-z0-9]{36}",
        varied,
    ),
    (
        "typeform-token",
        "Typeform token",
        "tfp_",
        r"tfp_[A-Za-z0-9_.\-]{59}",
        varied,
    ),
    (
        "airtable-token",
        "Airtable token",
        "pat",
        r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}",
        varied,
    ),
    (
        "contentful-token",
        "Contentful token",
        "cfpat-",
        r"CFPAT-[A-Za-z0-9_\-]{43}",
        varied,
    ),
    (
        "infracost-key",
        "Infracost key",
        "ico-",
        "ico-[A-Za-z0-9]{32}",
        with_digits,
    ),
    (
        "hashicorp-tf-token",
        "HCP Terraform token",
        ".atlasv1.",
        r"\.atlasv1\.[A-Za-z0-9_\-=]{60,70}",
        varied,
    ),
    (
        "flutterwave-key",
        "Flutterwave key",
        "flwseck-",
        r"FLWSECK-[a-f0-9]{32}-X",
        hexadecimal,
    ),
    (
        "duffel-token",
        "Duffel token",
        "duffel_live_",
        r"duffel_live_[A-Za-z0-9_\-=]{43}",
        varied,
    ),
    (
        "frameio-token",
        "Frame.io token",
        "fio-u-",
        r"fio-u-[A-Za-z0-9_\-=]{64}",
        varied,
    ),
    (
        "readme-key",
        "ReadMe key",
        "rdme_",
        "rdme_[a-z0-9]{70}",
        varied,
    ),
    (
        "scalingo-token",
        "Scalingo token",
        "tk-us-",
        r"tk-us-[A-Za-z0-9_\-]{48}",
        varied,
    ),
    (
        "lob-key",
        "Lob key",
        "live_pub_",
        "live_pub_[a-f0-9]{31}",
        hexadecimal,
    ),
    (
        "clojars-token",
        "Clojars token",
        "clojars_",
        "CLOJARS_[a-z0-9]{60}",
        varied,
    ),
    (
        "resend-key",
        "Resend key",
        "re_",
        "re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}",
        with_digits,
    ),
];

/// Patterns that start before their keyword, by so many bytes.
const AROUND: &[(Row, usize)] = &[
    // learn.microsoft.com: client secrets have `Q~` after three characters and a digit.
    (
        (
            "azure-client-secret",
            "Azure client secret",
            "q~",
            r"\b[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.\-]{31,34}",
            varied,
        ),
        4,
    ),
    (
        (
            "azure-devops-token",
            "Azure DevOps token",
            "azdo",
            r"\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b",
            varied,
        ),
        76,
    ),
    // core.telegram.org/bots: the bot's number, a colon, 35 characters.
    (
        (
            "telegram-token",
            "Telegram bot token",
            ":aa",
            r"\b[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}\b",
            varied,
        ),
        10,
    ),
    (
        (
            "openai-key",
            "OpenAI key",
            "t3blbkfj",
            r"\bsk-[A-Za-z0-9_\-]{20,74}T3BlbkFJ[A-Za-z0-9_\-]{20,74}\b",
            varied,
        ),
        90,
    ),
    (
        (
            "hashicorp-tf-token",
            "HCP Terraform token",
            ".atlasv1.",
            r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-=]{60,70}",
            varied,
        ),
        14,
    ),
    (
        (
            "azure-key",
            "Azure service key",
            "jqqj99",
            r"\b[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{20,26}\b",
            varied,
        ),
        52,
    ),
];

/// What works in a sandbox alone.
const TESTING: &[Row] = &[
    (
        "stripe-test-key",
        "Stripe test key",
        "sk_test_",
        "sk_test_[0-9A-Za-z]{16,247}",
        varied,
    ),
    (
        "stripe-test-key",
        "Stripe restricted test key",
        "rk_test_",
        "rk_test_[0-9A-Za-z]{16,247}",
        varied,
    ),
];

fn rule((id, title, keyword, pattern, check): &Row, back: usize, severity: Severity) -> Rule {
    Rule {
        id: Cow::Borrowed(id),
        title: Cow::Borrowed(title),
        severity,
        keywords: vec![Cow::Borrowed(keyword)],
        matcher: Matcher::Pattern(Pattern::around(pattern, back, 4096)),
        check: *check,
        rank: 3,
    }
}

/// All of them.
pub fn rules() -> impl Iterator<Item = Rule> {
    let plain = TOKENS.iter().map(|row| rule(row, 0, Severity::High));
    let around = AROUND
        .iter()
        .map(|(row, back)| rule(row, *back, Severity::High));
    let testing = TESTING.iter().map(|row| rule(row, 0, Severity::Low));
    plain.chain(around).chain(testing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_its_keyword_is_in_lower_case() {
        for rule in rules() {
            let Matcher::Pattern(pattern) = &rule.matcher else {
                panic!("{}", rule.id)
            };
            assert!(pattern.regex().is_some(), "{}", rule.id);
            for keyword in &rule.keywords {
                assert_eq!(keyword.to_ascii_lowercase(), **keyword, "{}", rule.id);
            }
        }
        assert!(rules().count() > 130);
    }
}
