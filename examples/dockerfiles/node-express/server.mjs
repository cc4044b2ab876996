import express from 'express';

express()
  .get('/', (_, answer) => answer.send('Hello from Express'))
  .listen(3000);
