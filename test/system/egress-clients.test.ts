/** The clients that a template has, from inside a sandbox; what has to be brought into one runs in `test/long`. */
import { egressClients } from './egress/clients.ts';
import { clientSuite } from './egress/clientSuite.ts';

clientSuite('clients of the template', egressClients.shipped);
