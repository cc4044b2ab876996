/** Clients that are brought into a sandbox: they are fetched from the registries' own clients once a machine. */
import { egressClients } from '../system/egress/clients.ts';
import { clientSuite } from '../system/egress/clientSuite.ts';

clientSuite('clients that are brought', egressClients.brought);
