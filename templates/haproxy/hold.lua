-- Written by pgs. Holds a new connection while no member can take it: HAProxy itself would close it at once.
--
--   tcp-request content lua.pgs_hold_leader <limit, ms> <backend>
--   tcp-request content lua.pgs_hold_any <limit, ms> <backend> <backend>
--   tcp-request content lua.pgs_not_alone <backend>
--
-- Goes on as soon as one of the backends has a usable server, and closes the connection when the limit is over, or at once when this
-- entry is alone: cut off from all other hosts, it cannot learn who leads, and its clients had better try another entry. The third
-- does only that, in front of poolers.
--
-- And cuts the sessions of servers that are down, in all backends named <tenant>:to-… and <tenant>:…poolers. HAProxy's own
-- `on-marked-down shutdown-sessions` would do it at once, and with the sessions also end those that are still being connected to a
-- host that vanished; these it ends on one side only, and their clients hang for ever. Here they have time to be redispatched.

local pause_ms = 40
local look_ms = 250

-- From the first look that finds a server down until its sessions are cut: longer than any preset's try to connect (2 s).
local cut_after_ms = 2500

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec / 1000
end

-- An entry is alone when it reaches nobody but its own host for this long: longer than an etcd takes to elect, shorter than any lease.
local alone_after_ms = 5000
-- With one other host it cannot be told which of the two is cut off.
local alone_hosts_min = 2
local own_address = os.getenv("PGS_ADDRESS")
local unreached_since_ms = nil

local function is_alone()
  return unreached_since_ms ~= nil and now_ms() - unreached_since_ms > alone_after_ms
end

local function hold(txn, limit_ms, first, second)
  if txn.f:nbsrv(first) > 0 or (second and txn.f:nbsrv(second) > 0) then return end
  local deadline_ms = now_ms() + tonumber(limit_ms)
  repeat
    if is_alone() then return act.DENY end
    core.msleep(pause_ms)
    if txn.f:nbsrv(first) > 0 or (second and txn.f:nbsrv(second) > 0) then return end
  until now_ms() > deadline_ms
  return act.DENY
end

core.register_action("pgs_hold_leader", { "tcp-req" }, hold, 2)
core.register_action("pgs_hold_any", { "tcp-req" }, hold, 3)
core.register_action("pgs_not_alone", { "tcp-req" }, function(txn, backend)
  if is_alone() and txn.f:nbsrv(backend) == 0 then return act.DENY end
end, 1)

-- A host that refuses is reached; one that does not answer, or to which there is no route, is not.
local function is_unreached(server)
  local stats = server:get_stats()
  if stats.status:sub(1, 4) ~= "DOWN" then return false end
  local check = stats.check_status:gsub("^%* ", "")
  return check == "L4TOUT" or (check == "L4CON" and not stats.last_chk:find("refused", 1, true))
end

-- Of all tenants; ends at the first host that answers, so it costs next to nothing while all is well.
local function look_who_is_reached()
  local others = {}
  for backend, proxy in pairs(core.backends) do
    if backend:find(":leader$") then
      for _, server in pairs(proxy.servers) do
        local address = server:get_addr():gsub(":%d+$", "")
        if address ~= own_address then others[#others + 1] = { server = server, address = address } end
      end
    end
  end
  while true do
    core.msleep(look_ms)
    local unreached, count = {}, 0
    for _, other in ipairs(others) do
      if not is_unreached(other.server) then
        count = 0
        break
      end
      if not unreached[other.address] then count = count + 1 end
      unreached[other.address] = true
    end
    unreached_since_ms = count >= alone_hosts_min and (unreached_since_ms or now_ms()) or nil
  end
end

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

-- Each thread has a state of its own.
core.register_task(look_who_is_reached)

-- One thread is enough to cut.
if core.thread <= 1 then core.register_task(cut_sessions_of_lost_servers) end
