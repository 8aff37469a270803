#!/usr/bin/env bash
# A pipeline in miniature: deploy to staging, hold the gate against it, promote only what meets the criteria.
# Needs nginx, openssl and seccheck. Set PORT if 8443 is taken. Everything happens in a folder of its own.
set -euo pipefail
port="${PORT:-8443}"
PATH="$PATH:/usr/sbin"
place="$(mktemp -d)"
cd "$place"
trap 'kill "${server:-}" 2>/dev/null || true; wait; rm -rf "$place"' EXIT

issue_certificate() { # a root of our own, and a certificate for localhost signed by it
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Staging root" \
    -addext "keyUsage=critical,keyCertSign,cRLSign" -keyout root.key -out root.pem
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout key.pem -out request.pem
  printf '%s\n' "subjectAltName=DNS:localhost" "basicConstraints=CA:FALSE" \
    "keyUsage=digitalSignature" "extendedKeyUsage=serverAuth" > extensions
  openssl x509 -req -in request.pem -CA root.pem -CAkey root.key -days 30 -extfile extensions -out certificate.pem
}

deploy() { # deploy "what goes into the server block": starts staging, two seconds late as deployments are
  kill "${server:-}" 2>/dev/null || true
  wait
  cat > nginx.conf <<CONFIGURATION
daemon off; worker_processes 1; pid $place/pid; error_log $place/log;
events { worker_connections 256; }
http {
  access_log off; server_tokens off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen 127.0.0.1:$port ssl; server_name localhost;
    ssl_certificate certificate.pem; ssl_certificate_key key.pem;
    $1
    location / { return 200 "hello\n"; }
  }
}
CONFIGURATION
  (sleep 2; exec nginx -p "$place" -c nginx.conf) &
  server=$!
}

gate() { # the gate as every step below calls it
  seccheck gate --target "https://localhost:$port" --trust root.pem --wait 30s --as-level 3 -c project06-2026 \
    --select 'TLS-*,CRT-*,WEB-01,WEB-02,WEB-03' "$@"
}

step() { # run a step, say how it ended, go on
  local status=0
  printf '\n$ gate%s\n' "${*:+ $*}"
  gate "$@" || status=$?
  case $status in
    0) echo "exit status 0: promoted to production" ;;
    *) echo "exit status $status: the pipeline stops here" ;;
  esac
}

old='ssl_protocols TLSv1.1 TLSv1.2; ssl_ciphers "ECDHE:!aNULL:!eNULL:@SECLEVEL=0";'
new='ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers "ECDHE+AESGCM:ECDHE+CHACHA20";'
hsts='add_header Strict-Transport-Security "max-age=31536000; includeSubDomains" always;'
headers="$hsts"' add_header Content-Security-Policy "default-src '"'self'; frame-ancestors 'none'"'" always;
    add_header X-Content-Type-Options nosniff always; add_header X-Frame-Options DENY always;'

issue_certificate 2> openssl.log

echo "# The first deployment: an old configuration."
deploy "$old"
step

echo
echo "# TLS is put right. The headers have to wait for the developers, so the threshold asks for less."
cat > gate.yaml <<'THRESHOLD'
seccheck: gate/1
severities: [critical, high]
THRESHOLD
deploy "$new"
step --threshold gate.yaml

echo
echo "# The headers follow. The run is kept, as the baseline of what comes after."
deploy "$new $headers"
step --out first --format junit,sarif --sarif-fails-only

echo
echo "# A later change loses a header. Held against the baseline, what is worse than before stops it."
deploy "$new $hsts"
step --baseline first
