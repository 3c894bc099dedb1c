// Public face of the CNI module; see README.md.
export type {
  Attachment,
  AttachmentKey,
  EndpointGate,
  PodAddresses,
  PodLink,
  PodSource,
  PodWiring,
  WiredPod,
  WiringFault,
} from './ports.ts'
