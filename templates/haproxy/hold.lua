-- Written by pgs. Holds a new connection while no member can take it: HAProxy itself would close it at once.
--
--   tcp-request content lua.pgs_hold_leader <limit, ms> <backend>
--   tcp-request content lua.pgs_hold_any <limit, ms> <backend> <backend>
--
-- Goes on as soon as one of the backends has a usable server, and closes the connection when the limit is over.
--
-- And cuts the sessions of servers that are down, in all backends named <tenant>:to-… and <tenant>:…poolers. HAProxy's own
-- `on-marked-down shutdown-sessions` would do it at once, and with the sessions also end those that are still being connected to a
-- host that vanished; these it ends on one side only, and their clients hang for ever. Here they have time to be redispatched.

local pause_ms = 40

-- From the first look that finds a server down until its sessions are cut: longer than any preset's try to connect (2 s).
local cut_after_ms = 2500
local look_ms = 250

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec / 1000
end

local function hold(txn, limit_ms, first, second)
  if txn.f:nbsrv(first) > 0 or (second and txn.f:nbsrv(second) > 0) then return end
  local deadline_ms = now_ms() + tonumber(limit_ms)
  repeat
    core.msleep(pause_ms)
    if txn.f:nbsrv(first) > 0 or (second and txn.f:nbsrv(second) > 0) then return end
  until now_ms() > deadline_ms
  return act.DENY
end

core.register_action("pgs_hold_leader", { "tcp-req" }, hold, 2)
core.register_action("pgs_hold_any", { "tcp-req" }, hold, 3)

local function watched()
  local servers = {}
  for backend, proxy in pairs(core.backends) do
    if backend:find(":to-", 1, true) or backend:find("poolers$") then
      for _, server in pairs(proxy.servers) do servers[#servers + 1] = server end
    end
  end
  return servers
end

local function cut_sessions_of_lost_servers()
  local servers = watched()
  local down_since = {}
  while true do
    core.msleep(look_ms)
    local now = now_ms()
    for i, server in ipairs(servers) do
      local stats = server:get_stats()
      if stats.status:sub(1, 4) ~= "DOWN" then
        down_since[i] = nil
      else
        down_since[i] = down_since[i] or now
        if tonumber(stats.scur) > 0 and now - down_since[i] > cut_after_ms then server:shut_sess() end
      end
    end
  end
end

-- The script is loaded once for each thread; one of them is enough.
if core.thread <= 1 then core.register_task(cut_sessions_of_lost_servers) end
