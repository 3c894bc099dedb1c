// Routes of services: which addresses this node advertises for them, and when it lets go of one; see README.md.
export { NO_SERVICES, type ServiceCounts, type ServiceFacts, type ServicePlan, ServicePlanner, type ServiceRoute } from './plan.ts'
export { type ServiceFigures, ServiceWatch, type ServiceWatchDeps } from './service-watch.ts'
export { HAND_OVER_MS, PROXY_MS, type Standing } from './stance.ts'
