-- Written by pgs. What HAProxy itself does not do for the front door, where every tenant is reached by the name in the TLS handshake.
--
--   tcp-request content lua.pgs_door_begin     before TLS: answers an SSLRequest, and says in txn.door_begin how the client begins
--   tcp-request content lua.pgs_door_tenant    says in txn.door_backend whose the connection is
--   filter lua.pgs_door_ask                    asks the server for TLS before it gets the client's handshake
--   tcp-request content use-service lua.pgs_door_refuse    tells the client why it is refused (txn.refusal, txn.tenant)
--
-- Nothing here sees a byte of a session: after the handshake has begun, connections are HAProxy's alone.

local ssl_request = string.pack(">I4I4", 8, 80877103)
local gss_request = string.pack(">I4I4", 8, 80877104)
local cancel_code = 80877102
-- As in PostgreSQL: whoever says that his first packet is longer means something else.
local packet_bytes_max = 10000

local own_domain = os.getenv("PGS_DOMAIN")
local services = { "-direct-ro", "-direct", "-ro" }

-- How a client begins: `tls` (a ClientHello), `request` (it asked for TLS, and was told yes), `plain` (a startup packet).
core.register_action("pgs_door_begin", { "tcp-req" }, function(txn)
  local first = txn.req:data(0, 8)
  if first == nil or #first < 8 then return act.DENY end
  if first == ssl_request then
    -- Whatever came along was not protected, and would be taken for a part of what is.
    if txn.req:input() > 8 then return act.DENY end
    txn.req:remove(0, 8)
    txn.res:send("S")
    txn:set_var("txn.door_begin", "request")
  elseif first == gss_request then
    if txn.req:input() > 8 or txn:get_var("txn.door_gss") then return act.DENY end
    txn:set_var("txn.door_gss", true)
    txn.req:remove(0, 8)
    txn.res:send("N")
  elseif first:byte(1) == 0x16 then
    txn:set_var("txn.door_begin", "tls")
  else
    local length, version = string.unpack(">I4I2", first)
    if length < 8 or length > packet_bytes_max or version ~= 3 then return act.DENY end
    txn:set_var("txn.door_begin", "plain")
  end
end, 0)

-- The tenant of a name, or nil: <tenant>[-ro|-direct|-direct-ro].<domain>
local function tenant_of(name)
  local label, domain = name:lower():match("^([a-z0-9%-]+)%.(.+)$")
  if label == nil or domain ~= own_domain then return nil end
  for _, service in ipairs(services) do
    if #label > #service and label:sub(-#service) == service then return label:sub(1, -#service - 1) end
  end
  return label
end

core.register_action("pgs_door_tenant", { "tcp-req" }, function(txn)
  local name = txn.f:req_ssl_sni()
  local tenant = name and tenant_of(name)
  if tenant == nil then return end
  local backend = tenant .. ":door" .. (txn:get_var("txn.door_begin") == "tls" and "-tls-first" or "")
  if core.backends[backend] then txn:set_var("txn.door_backend", backend) end
end, 0)

-- PostgreSQL before 17 and PgBouncer begin TLS only after they were asked for it, in the clear, and want nothing else until they have
-- answered. So the client's handshake waits here for the answer, which the client does not see.
local Ask = { id = "pgs_door_ask", flags = 0 }
Ask.__index = Ask

function Ask:new() return setmetatable({ asked = false, answered = false }, Ask) end

function Ask:start_analyze(_, channel) filter.register_data_filter(self, channel) end

function Ask:tcp_payload(txn, channel)
  if channel:is_resp() then return self:answer(txn, channel) end
  if self.answered then
    filter.unregister_data_filter(self, channel)
    return
  end
  if self.asked then return 0 end
  self.asked = true
  if txn:get_var("txn.door_way") ~= "through" then
    self.answered = true
    filter.unregister_data_filter(self, channel)
    return
  end
  if channel:prepend(ssl_request) ~= #ssl_request then return filter.ERROR end
  return #ssl_request
end

function Ask:answer(txn, channel)
  if not self.answered then
    local answer = channel:data(0, 1)
    if answer == nil or answer == "" then return 0 end
    if answer ~= "S" then return filter.ERROR end
    channel:remove(0, 1)
    self.answered = true
    -- What waits goes on now: nothing else would wake the other direction. (filter.wake_time here hangs HAProxy 3.0.)
    txn.req:forward(txn.req:input())
  end
  filter.unregister_data_filter(self, channel)
end

core.register_filter("pgs_door_ask", Ask, function(instance) return instance end)

-- SQLSTATE, message and hint.
local refusals = {
  plain = { "28000", "TLS is required here", "Set sslmode to verify-full." },
  unnamed = {
    "08004",
    "no server name came with the TLS handshake, so it cannot be told which database is meant",
    "Connect by a name, not by an address, with a client that sends it (SNI: libpq 14 or newer, sslsni=1).",
  },
  unknown = { "3D000", 'nobody is served here by the name "%s"', "The name is <tenant>.<domain>, or <tenant>-ro, -direct, -direct-ro." },
  closed = { "28000", 'access from outside is closed for "%s"', "Whoever runs it opens it with: pgs access enable" },
  address = { "28000", 'access from %s is not permitted for "%s"', "Whoever runs it permits more with: pgs access enable --from" },
  stopped = { "57P03", '"%s" is stopped', "Whoever runs it starts it with: pgs cluster start" },
}

local function refusal_of(txn)
  local kind = txn:get_var("txn.refusal")
  -- `open` by now: it was not when the connection was judged.
  local code, message, hint = table.unpack(refusals[kind] or refusals.closed)
  local tenant = txn:get_var("txn.tenant") or ""
  if kind == "unknown" then
    -- What a stranger sent is shown to nobody but him, and only what a name can consist of.
    message = message:format((txn.f:ssl_fc_sni() or ""):sub(1, 100):gsub("[^%w%.%-_]", "?"))
  elseif kind == "address" then
    message = message:format(txn.f:src(), tenant)
  else
    message = message:format(tenant)
  end
  local fields = { "SFATAL", "VFATAL", "C" .. code, "M" .. message, "H" .. hint }
  local body = table.concat(fields, "\0") .. "\0\0"
  return "E" .. string.pack(">I4", #body + 4) .. body
end

core.register_service("pgs_door_refuse", "tcp", function(applet)
  -- First what the client has to say: closing with that unread would be a reset, and the error would not arrive.
  local head = applet:receive(8)
  if head == nil or #head < 8 then return end
  local length, code = string.unpack(">I4I4", head)
  -- Whoever cancels wants no answer.
  if code == cancel_code then return end
  if length > 8 and length <= packet_bytes_max then applet:receive(length - 8) end
  applet:send(refusal_of(applet))
end)
